# The Debian archive's address, as the machine's own sources name it; to be sourced.
archive=$( (cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null || true) |
  grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' ')
[ -n "$archive" ] || { echo "$0: no Debian archive among the apt sources" >&2; return 1; }

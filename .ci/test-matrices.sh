#!/usr/bin/env bash
# The tests of kernels on matrix units, as root on Debian 12. No driver there has such units, but lavapipe of Mesa 26 stands
# in for them: it is installed, from trixie-backports, in a Debian 13 of its own, in which tests of a copy of this checkout run.
set -euo pipefail
cd "$(dirname "$0")/.."
export DEBIAN_FRONTEND=noninteractive
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
install_driver() {
  source .ci/archive.sh &&
    { command -v mmdebstrap || apt-get install -y -qq --no-install-recommends mmdebstrap; } &&
    mmdebstrap --quiet --variant=minbase --include=libvulkan1,libstdc++6 \
      --customize-hook='chroot "$1" apt-get install -y -qq --no-install-recommends -t trixie-backports mesa-vulkan-drivers' \
      trixie "$root" "deb $archive trixie main" "deb $archive trixie-backports main"
}
install_driver > /dev/null || { echo 'ci: no driver with matrix units could be installed, so their tests are skipped'; exit; }
cp "$(readlink -f "$(command -v node)")" "$root/usr/local/bin/node"
mkdir "$root/energate"
tar -c --exclude=./bench/node_modules --exclude=./.git . | tar -x -C "$root/energate"
chroot "$root" env -i -C /energate PATH=/usr/local/bin:/usr/bin:/bin HOME=/tmp MATRICES=1 \
  node node_modules/vitest/vitest.mjs run -t matri --reporter=default --reporter=json --outputFile=/tmp/tests.json \
  test/kernels/conv2d.test.ts test/gpu/tiles.test.ts test/graph/float16.test.ts test/nn/golden.test.ts
# A pattern that matches nothing is no failure to vitest.
passed=$(node -p 'JSON.parse(fs.readFileSync(process.argv[1])).numPassedTests' "$root/tmp/tests.json")
[ "$passed" -ge 50 ] || { echo "ci: only $passed tests on matrix units ran" >&2; exit 1; }

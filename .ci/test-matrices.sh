#!/usr/bin/env bash
# The tests of kernels on matrix units, as root on Debian 12. No driver there has such units, but lavapipe of Mesa 26 stands
# in for them: it is installed, from trixie-backports, in a Debian 13 of its own, in which this checkout's tests then run.
set -euo pipefail
cd "$(dirname "$0")/.."
export DEBIAN_FRONTEND=noninteractive
source .ci/archive.sh
root=$(mktemp -d)
trap 'umount "$root/energate" 2> /dev/null || true; rm -rf --one-file-system "$root"' EXIT
install_driver() {
  command -v mmdebstrap > /dev/null || apt-get install -y -qq --no-install-recommends mmdebstrap
  mmdebstrap --quiet --variant=minbase --include=libvulkan1,libstdc++6 \
    --customize-hook='chroot "$1" apt-get install -y -qq --no-install-recommends -t trixie-backports mesa-vulkan-drivers' \
    trixie "$root" "deb $archive trixie main" "deb $archive trixie-backports main"
}
install_driver > /dev/null || { echo 'ci: no driver with matrix units could be installed, so their tests are skipped'; exit; }
cp "$(readlink -f "$(command -v node)")" "$root/usr/local/bin/node"
mkdir "$root/energate"
mount --bind . "$root/energate"
chroot "$root" env -C /energate -u NODE_EXTRA_CA_CERTS HOME=/tmp MATRICES=1 node node_modules/vitest/vitest.mjs run -t matrix \
  test/kernels/conv2d.test.ts test/gpu/tiles.test.ts test/graph/float16.test.ts test/nn/golden.test.ts

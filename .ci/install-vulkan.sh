#!/usr/bin/env bash
# Install lavapipe (Mesa's software Vulkan) from bookworm-backports: Debian 12's own Mesa 22.3 is refused by Dawn.
# The archive's address is taken from the machine's own bookworm sources.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
if [ ! -e /usr/share/vulkan/icd.d/lvp_icd.x86_64.json ] && [ ! -e /usr/share/vulkan/icd.d/lvp_icd.json ]; then
  source "$(dirname "$0")/archive.sh"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive bookworm-backports main" \
    > /etc/apt/sources.list.d/bookworm-backports.list
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends libvulkan1
  apt-get install -y -qq --no-install-recommends -t bookworm-backports mesa-vulkan-drivers
fi

#!/usr/bin/env bash
# Install Chromium and Firefox: the page, and what else runs in a browser, is tested in them. Chromium brings its own WebGPU
# (SwiftShader), Firefox takes the system's Vulkan driver.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
missing=()
for package in chromium firefox-esr; do
  command -v "$package" > /dev/null || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

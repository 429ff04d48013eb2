#!/usr/bin/env bash
# Install Chromium and Firefox: the page, and what else runs in a browser, is tested in them. Chromium brings its own WebGPU
# (SwiftShader), Firefox takes the system's Vulkan driver.
set -uo pipefail
export DEBIAN_FRONTEND=noninteractive
failed=0
for package in chromium firefox-esr; do
  command -v "$package" > /dev/null && continue
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$package"; } || failed=1
done
exit $failed

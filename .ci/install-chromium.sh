#!/usr/bin/env bash
# Install Chromium: the page, and what else runs in a browser, is tested in it, on its own WebGPU (SwiftShader).
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
if ! command -v chromium > /dev/null; then
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends chromium
fi

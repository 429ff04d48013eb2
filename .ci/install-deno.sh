#!/usr/bin/env bash
# Install Deno (x64), from its npm package: the package is tested in it, on Deno's own WebGPU (wgpu, as Firefox has it).
set -euo pipefail
command -v deno > /dev/null && exit
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --prefix "$folder" --no-save --ignore-scripts --no-audit --no-fund @deno/linux-x64-glibc@2.9.6
install -m 755 "$folder/node_modules/@deno/linux-x64-glibc/deno" /usr/local/bin/deno

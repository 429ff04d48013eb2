#!/usr/bin/env bash
# All that matters on a GPU, the most important first, within a time: bash bench/gpu.sh CARD [SECONDS [PYTHON]]
# Results go to bench/results/CARD-*.json as they are made, so that what the time cuts off is only the rest.
set -uo pipefail
cd "$(dirname "$0")/.."
card=${1:?usage: bash bench/gpu.sh CARD [SECONDS [PYTHON]]} limit=${2:-560} python=${3:-python3}

# run NAME OPTION...
run() {
  local left=$((limit - SECONDS)) file=bench/results/$card-$1.json
  if [ $left -lt 20 ]; then echo "== $1: no time is left"; return; fi
  echo "== $1, at $SECONDS s"
  timeout $left node --import tsx bench/run.ts --batch 128+256 --python "$python" --json "$file" "${@:2}" || echo "== $1: ended early"
}
peers=energate,tfjs,torch,torch-autocast

run step --engines $peers --case 'WRN-40-2|matmul 2048'
run convolutions --engines $peers --case 'conv 3x3 (32-32|64-64|128-128)|matmul 2048'
run memory --engines $peers --case 'batch norm|energy loss .* (384x10|4096x1000|65536x10)$|relu'
# NVIDIA's driver has f16, which Dawn withholds unless asked.
run f16 --engines energate,energate-float16,energate-matrices,torch-autocast --toggles allow_unsafe_apis,vulkan_enable_f16_on_nvidia --case 'WRN-40-2|matmul 2048'
run no-robustness --engines energate,tfjs --toggles disable_robustness --case 'WRN-40-2|conv 3x3 (64-64|128-128)|batch norm|matmul 2048'
run jax --engines energate,jax --case 'energy step WRN-(10-1|40-2)'
run all --engines $peers

import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import type { Peer } from '../workloads.js';
import { tfjsTasks } from './tfjs-tasks.js';

/** TensorFlow.js on its WebAssembly backend, for those without a GPU. It has no gradient of a convolution's weights. */
export async function open(): Promise<Peer> {
  setWasmPaths(`${dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm'))}/`);
  await tf.setBackend('wasm');
  await tf.ready();
  return {
    version: tf.version.tfjs,
    apart: true,
    settings: () => [''],
    // Its kernels run when they are called.
    tasks: tfjsTasks({ apply: () => {}, finish: async () => {} }),
  };
}

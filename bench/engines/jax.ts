import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { defaultDevice, getWebGPUDevice, init } from '@jax-js/jax';
import type { Peer } from '../workloads.js';
import { jaxTasks } from './jax-tasks.js';

/** jax-js on its WebGPU device; everything is compiled by `jit`. */
export async function open(): Promise<Peer> {
  await init('webgpu');
  defaultDevice('webgpu');
  const queue = getWebGPUDevice().queue;
  const main = createRequire(import.meta.url).resolve('@jax-js/jax');
  const { version } = JSON.parse(readFileSync(new URL('../package.json', `file://${main}`), 'utf8'));
  return { version, settings: () => [''], tasks: jaxTasks(() => queue.onSubmittedWorkDone()) };
}

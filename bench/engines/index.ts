import type { Peer } from '../workloads.js';

/** The engines, in the order they are shown. Each is loaded in a process of its own, with `navigator.gpu` in place. */
export const ENGINES: Readonly<Record<string, () => Promise<{ open(): Promise<Peer> }>>> = {
  energate: () => import('./energate.js'),
  'energate-float16': () => import('./energate-float16.js'),
  'energate-matrices': () => import('./energate-matrices.js'),
  'energate-unfolded': () => import('./energate-unfolded.js'),
  tfjs: () => import('./tfjs.js'),
  jax: () => import('./jax.js'),
  'tfjs-wasm': () => import('./tfjs-wasm.js'),
};

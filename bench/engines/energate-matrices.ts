import { Engine } from '../../src/index.js';
import type { Peer } from '../workloads.js';
import { float16Peer } from './energate-float16.js';

/** This project with its activations stored as float16, which matrix units multiply: where there are some. */
export async function open(): Promise<Peer> {
  const engine = await Engine.open(navigator.gpu, { float16: true });
  const peer = float16Peer(engine);
  return engine.matrices && !engine.adapter.software ? peer : { ...peer, settings: () => [] };
}

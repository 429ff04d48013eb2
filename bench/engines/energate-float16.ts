import { Engine } from '../../src/index.js';
import type { Peer } from '../workloads.js';
import { score, step, version } from './energate.js';

/** This project with its activations stored as float16. */
export async function open(): Promise<Peer> {
  return float16Peer(await Engine.open(navigator.gpu));
}

/** Networks in float16, as an engine can compute it. */
export function float16Peer(engine: Engine): Peer {
  return {
    version,
    apart: true,
    arithmetic: 'float16',
    settings: ({ kind }) => (kind === 'score' || kind === 'step' ? [''] : []),
    tasks: {
      step: (parameters) => step(engine, parameters, true),
      score: (parameters) => score(engine, parameters, true),
    },
  };
}

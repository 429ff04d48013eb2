import { Engine } from '../../src/index.js';
import type { Peer } from '../workloads.js';
import { score, step, version } from './energate.js';

/** This project with its activations stored as float16. */
export async function open(): Promise<Peer> {
  const engine = await Engine.open(navigator.gpu);
  return {
    version,
    arithmetic: 'float16',
    settings: ({ kind }) => (kind === 'score' || kind === 'step' ? [''] : []),
    tasks: {
      step: (parameters) => step(engine, parameters, true),
      score: (parameters) => score(engine, parameters, true),
    },
  };
}

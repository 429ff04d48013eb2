import { Buffers } from '../../src/gpu/buffers.js';
import { Engine, Graph, gatherImages, Program } from '../../src/index.js';
import { stateInputs, stateLayout, uploadState } from '../../src/nn/device-state.js';
import { wideResNetForward } from '../../src/nn/wide-resnet.js';
import { pixels } from '../inputs.js';
import type { Peer, Task, Workloads } from '../workloads.js';
import { version } from './energate.js';
import { IN_SEED, network } from './weights.js';

/** This project's scoring pass as a training step's forward half would make it: every batch norm a kernel of its own. */
export async function open(): Promise<Peer> {
  const engine = await Engine.open(navigator.gpu);
  return {
    version,
    settings: ({ kind }) => (kind === 'score' ? [''] : []),
    tasks: { score: (parameters) => score(engine, parameters) },
  };
}

async function score(engine: Engine, { batch, ...config }: Workloads['score']): Promise<Task> {
  const unfolded = network(config);
  const graph = new Graph();
  const layout = stateLayout(unfolded.config);
  const inputs = stateInputs(graph, layout);
  const images = graph.input('pixels', [(batch * 32 * 32 * 3) / 4], 'u32');
  const indices = graph.input('indices', [batch], 'u32');
  const step = graph.input('step', [4], 'u32');
  const normalised = gatherImages([{ chunks: [{ tensor: images, start: 0, count: batch }], indices }], step, {
    height: 32,
    width: 32,
    normalization: unfolded.normalization,
    augment: false,
  });
  const { features, logits } = wideResNetForward(normalised, unfolded.config, inputs.state);
  const state = uploadState(new Buffers(engine), layout, unfolded);
  const program = await Program.compile(
    engine,
    graph,
    [features, logits],
    new Map([
      [inputs.parameters, state.parameters],
      [inputs.statistics, state.statistics],
    ]),
  );
  program.write(
    indices,
    Uint32Array.from({ length: batch }, (_, i) => i),
  );
  const bytes = pixels(batch, IN_SEED);
  const once = async () => {
    engine.write(program.storage(images), bytes);
    program.run();
    const [, read] = await program.read(features, logits);
    return [read!];
  };
  return {
    async run(times) {
      for (let i = 0; i < times; i++) await once();
    },
    outputs: once,
    dispose: () => program.destroy(),
  };
}

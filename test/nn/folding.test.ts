import { expect, it } from 'vitest';
import { stream } from '../../src/data/random.js';
import { Buffers } from '../../src/gpu/buffers.js';
import { Graph } from '../../src/graph/graph.js';
import { Program } from '../../src/graph/program.js';
import { stateInputs, stateLayout, uploadState } from '../../src/nn/device-state.js';
import { foldBatchNorms, foldedInputs } from '../../src/nn/folding.js';
import type { Network } from '../../src/nn/network.js';
import { foldedForward, wideResNet, wideResNetForward } from '../../src/nn/wide-resnet.js';
import { relativeError } from '../support/golden.js';
import { engine } from '../support/gpu.js';

/** A network whose batch norms are far from the identity, as after training. */
function network(depth: number, width: number): Network {
  const fresh = wideResNet(
    { depth, width, classes: 10 },
    { seed: 3, normalization: { mean: [0, 0, 0], std: [1, 1, 1] } },
  );
  const random = stream(5, 'batch norms', 'test');
  for (const [name, { data }] of fresh.state) {
    if (!/bn\d\./.test(name)) continue;
    for (let i = 0; i < data.length; i++) {
      if (name.endsWith('running_var')) data[i] = 0.2 + 2 * random.uniform();
      else if (name.endsWith('weight')) data[i] = 0.5 + random.uniform();
      else data[i] = random.uniform() - 0.5;
    }
  }
  return fresh;
}

// Width 1 keeps the sum that enters the first block, width 2 does not.
it.each([1, 2])('folds batch norm into the convolutions of a WRN-10-%i: the same logits', async (width) => {
  const net = network(10, width);
  const layout = stateLayout(net.config);
  const state = uploadState(new Buffers(engine), layout, net);
  const graph = new Graph();
  const inputs = stateInputs(graph, layout);
  const images = graph.input('images', [3, 32, 32, 3]);
  const norms = foldBatchNorms(net);
  const folded = foldedInputs(graph, norms);
  const plain = wideResNetForward(images, net.config, inputs.state);
  const fast = foldedForward(images, net.config, inputs.state, folded.affine);
  const bindings = new Map([
    [inputs.parameters, state.parameters],
    [inputs.statistics, state.statistics],
  ]);
  const random = stream(7, 'images', 'test');
  const pixels = Float32Array.from({ length: 3 * 32 * 32 * 3 }, () => 4 * random.uniform() - 2);
  const run = async (outputs: { features: typeof images; logits: typeof images }) => {
    const program = await Program.compile(engine, graph, [outputs.features, outputs.logits], bindings);
    program.write(images, pixels);
    program.write(folded.input, norms.data);
    program.run();
    const [features, logits] = await program.read(outputs.features, outputs.logits);
    return { features: features!, logits: logits!, dispatches: program.dispatchCount };
  };
  const expected = await run(plain);
  const got = await run(fast);
  expect(relativeError(got.logits, expected.logits)).toBeLessThan(1e-5);
  expect(relativeError(got.features, expected.features)).toBeLessThan(1e-5);
  // Seven 3x3 convolutions, the shortcuts beside them, a mean and a product: nothing for its seven batch norms.
  expect(got.dispatches).toBe(9);
  expect(expected.dispatches).toBeGreaterThanOrEqual(9 + 7);
});

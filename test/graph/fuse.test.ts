import { expect, it } from 'vitest';
import { gradients } from '../../src/graph/differentiate.js';
import { Graph, type Tensor } from '../../src/graph/graph.js';
import { conv2d } from '../../src/graph/ops/conv2d.js';
import { add, relu } from '../../src/graph/ops/elementwise.js';
import { matmul } from '../../src/graph/ops/matmul.js';
import { type PlanOptions, plan } from '../../src/graph/plan.js';
import { Program } from '../../src/graph/program.js';
import { partsOf } from '../../src/kernels/dispatch.js';
import { engine } from '../support/gpu.js';
import { expectClose, noise } from '../support/numbers.js';

const shadersOf = (graph: Graph, outputs: readonly Tensor[]) =>
  plan(graph, outputs).dispatches.map((dispatch) => partsOf(dispatch).map(({ shader }) => shader));

it('runs neighbours that do not depend on one another in one dispatch, each on its own workgroups', async () => {
  const graph = new Graph();
  // More than a workgroup each, and none a multiple of one.
  const x = graph.input('x', [131]);
  const a = graph.input('a', [70, 3]);
  const b = graph.input('b', [3, 70]);
  const outputs = [relu(x), matmul(a, b), relu(b)];
  const program = await Program.compile(engine, graph, outputs);
  expect(program.dispatchCount).toBe(1);
  const [vx, va, vb] = [noise(131, 1), noise(210, 2), noise(210, 3)];
  program.write(x, vx);
  program.write(a, va);
  program.write(b, vb);
  program.run();
  const [first, product, second] = await program.read(...outputs);
  program.destroy();
  expect(first).toEqual(vx.map((v) => Math.max(v, 0)));
  expect(second).toEqual(vb.map((v) => Math.max(v, 0)));
  const expected = Float64Array.from({ length: 4900 }, (_, i) =>
    [0, 1, 2].reduce((sum, k) => sum + va[Math.floor(i / 70) * 3 + k]! * vb[k * 70 + (i % 70)]!, 0),
  );
  expectClose(product!, expected, 1e-6);
});

it('leaves apart what reads what the other writes, and more buffers than every device binds', () => {
  const graph = new Graph();
  const [x, y] = [graph.input('x', [4]), graph.input('y', [4])];
  const sum = add(x, y);
  expect(shadersOf(graph, [relu(sum)])).toEqual([['add'], ['relu']]);
  // Three storage buffers each, of eight.
  const sums = [sum, add(x, x), add(y, y), add(y, x), add(x, y)];
  expect(shadersOf(graph, sums)).toEqual([['add', 'add'], ['add', 'add'], ['add']]);
});

it('leaves apart what together has more workgroups than a dispatch may', () => {
  const graph = new Graph();
  const [x, y] = [graph.input('x', [80_000_000]), graph.input('y', [80_000_000])];
  expect(shadersOf(graph, [relu(x), relu(graph.input('z', [4]))])).toEqual([['relu', 'relu']]);
  expect(shadersOf(graph, [relu(x), relu(y)])).toEqual([['relu'], ['relu']]);
});

it('keeps all that a fused dispatch touches alive together', () => {
  const graph = new Graph();
  const [x, y] = [graph.input('x', [4]), graph.input('y', [4])];
  const [a, b] = [relu(x), relu(y)];
  const [c, d] = [relu(a), relu(b)];
  const { dispatches, places } = plan(graph, [add(c, d)]);
  expect(dispatches.map((dispatch) => partsOf(dispatch).length)).toEqual([2, 2, 1]);
  const slots = [a, b, c, d].map((tensor) => places.get(tensor)!.slot);
  expect(new Set(slots).size).toBe(4);
});

it('leaves apart kernels that would read and write one buffer, whichever of its ranges the host bound', async () => {
  const buffer = engine.createBuffer('two ranges', 512);
  const graph = new Graph();
  const [a, c] = [graph.input('a', [4]), graph.input('c', [4])];
  const outputs = [relu(a), relu(c)];
  const bound = new Map([
    [a, { buffer, offset: 0, size: 16 }],
    [outputs[1]!, { buffer, offset: 256, size: 16 }],
  ]);
  const program = await Program.compile(engine, graph, outputs, bound);
  expect(program.dispatchCount).toBe(2);
  program.write(a, Float32Array.of(1, -2, 3, -4));
  program.write(c, Float32Array.of(-5, 6, -7, 8));
  program.run();
  expect(await program.read(...outputs)).toEqual([Float32Array.of(1, 0, 3, 0), Float32Array.of(0, 6, 0, 8)]);
  program.destroy();
  engine.destroyBuffer(buffer);
});

it('leaves kernels with large tiles alone on a GPU', () => {
  const graph = new Graph();
  const x = graph.input('x', [2, 8, 8, 3]);
  const filters = [graph.input('v', [3, 3, 3, 8]), graph.input('w', [3, 3, 8, 8])];
  const y = filters.reduce((input, w) => conv2d(input, w, { stride: 1 }), x);
  const outputs = gradients(y, graph.input('gradient', y.shape), filters);
  const alone = (options: PlanOptions) =>
    plan(graph, outputs, options).dispatches.every(
      (dispatch) =>
        partsOf(dispatch).length === 1 || partsOf(dispatch).every(({ constants }) => constants.KERNEL !== 3),
    );
  expect(alone({ workgroupMemory: true })).toBe(true);
  expect(alone({ softwareCompiler: true })).toBe(false);
});

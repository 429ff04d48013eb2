import { performance } from 'node:perf_hooks';
import { expect, it } from 'vitest';
import { conv2d, Graph, openEngine, Program } from '../../src/node.js';

it('leaves the cores to a software adapter while that computes', async ({ skip }) => {
  const engine = await openEngine();
  if (!engine.adapter.software) return skip('a GPU needs no core');
  const graph = new Graph();
  const x = graph.input('x', [32, 32, 32, 16]);
  const w = graph.input('w', [3, 3, 16, 16]);
  const program = await Program.compile(engine, graph, [conv2d(x, w, { stride: 1 })]);
  const { setImmediate } = globalThis;
  const encoder = engine.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (let i = 0; i < 50; i++) program.encode(pass);
  pass.end();
  engine.submit(encoder);

  const before = performance.eventLoopUtilization();
  const done = engine.finish();
  expect(globalThis.setImmediate).toBe(setImmediate);
  await done;
  const { utilization, idle } = performance.eventLoopUtilization(before);
  expect(globalThis.setImmediate).toBe(setImmediate);
  expect(idle).toBeGreaterThan(50);
  expect(utilization).toBeLessThan(0.3);

  program.destroy();
  engine.destroy();
});

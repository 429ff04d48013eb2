import { performance } from 'node:perf_hooks';
import { expect, it } from 'vitest';
import { create } from 'webgpu';
import { type Awaiting, Engine } from '../../src/gpu/engine.js';
import { pacing, patiently } from '../../src/node/polling.js';
import { conv2d, Graph, openEngine, Program } from '../../src/node.js';

/** Convolutions of 12 GFLOP in all, on an engine that is then to be waited for. */
async function working(engine: Engine): Promise<Program> {
  const graph = new Graph();
  const x = graph.input('x', [32, 32, 32, 16]);
  const w = graph.input('w', [3, 3, 16, 16]);
  const program = await Program.compile(engine, graph, [conv2d(x, w, { stride: 1 })]);
  const encoder = engine.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (let i = 0; i < 80; i++) program.encode(pass);
  pass.end();
  engine.submit(encoder);
  return program;
}

it('leaves the cores to a software adapter while that computes', async ({ skip, onTestFinished }) => {
  const engine = await openEngine();
  onTestFinished(() => engine.destroy());
  skip(!engine.adapter.software, 'a GPU needs no core');
  await working(engine);
  const { setImmediate } = globalThis;
  const before = performance.eventLoopUtilization();
  const done = engine.finish();
  expect(globalThis.setImmediate).toBe(setImmediate);
  await done;
  const { utilization } = performance.eventLoopUtilization(before);
  expect(globalThis.setImmediate).toBe(setImmediate);
  expect(utilization).toBeLessThan(0.4);
});

it('waits so for pipelines, reads and submits', async ({ skip, onTestFinished }) => {
  let waits = 0;
  const counting: Awaiting = (calls) => {
    waits++;
    return patiently(calls);
  };
  const engine = await Engine.open(create([]), {}, counting);
  onTestFinished(() => engine.destroy());
  skip(!engine.adapter.software, 'a GPU is waited for as Dawn does');
  await engine.read([engine.upload('x', new Float32Array(4))]);
  expect(waits).toBe(1);
  await engine.finish();
  expect(waits).toBe(2);
  await working(engine);
  expect(waits).toBe(3);
  await engine.finish();
});

it('asks often at first, then about once a millisecond, and leaves what is not a poll alone', async () => {
  const times: number[] = [];
  const seen: unknown[] = [];
  const began = performance.now();
  await new Promise<void>((resolve) => {
    // Native, as Dawn's are.
    const poll = function poll(this: void) {
      times.push(performance.now() - began);
      if (times.length === 1) globalThis.setImmediate((...rest: unknown[]) => seen.push(...rest), 1, 2);
      if (performance.now() - began < 60) globalThis.setImmediate(bound);
      else resolve();
    };
    const bound = poll.bind(undefined);
    pacing(globalThis.setImmediate)(bound);
  });
  expect(seen).toEqual([1, 2]);
  const within = (from: number, to: number) => times.filter((time) => time >= from && time < to).length;
  expect(within(0, 8)).toBeGreaterThan(10);
  expect(within(20, 60)).toBeGreaterThan(10);
  expect(within(20, 60)).toBeLessThanOrEqual(41);
});

import { expect, it } from 'vitest';
import { sideBySide } from '../../src/kernels/side-by-side.js';
import { engine } from '../support/gpu.js';

/** Adds 1 to a number of its own for each workgroup. */
const COUNTING = `
@group(0) @binding(0) var<storage, read_write> Y: array<u32>;
const WORKGROUP = 64;
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (lane == 0) {
    Y[(group.z * groups.y + group.y) * groups.x + group.x] += 1u;
  }
}
`;

it.each([
  [
    [1, 1, 1],
    [36, 1, 1],
    [576, 1, 1],
  ],
  [
    [24, 2, 4],
    [7, 1, 1],
    [5, 3, 1],
    [1, 1, 2],
  ],
  [
    [65000, 1, 1],
    [5, 107, 1],
  ],
] as [number, number, number][][])('runs each workgroup of every kernel once: %j, %j', async (...workgroups) => {
  const counts = workgroups.map(([x, y, z]) => x * y * z);
  const code = sideBySide(workgroups.map((groups) => ({ code: COUNTING, workgroups: groups })));
  const pipeline = await engine.device.createComputePipelineAsync({
    layout: 'auto',
    compute: { module: engine.device.createShaderModule({ code }), entryPoint: 'main' },
  });
  const storages = counts.map((count, i) => engine.upload(`of kernel ${i}`, new Uint32Array(count)));
  const bindGroup = engine.device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: storages.map((resource, binding) => ({ binding, resource })),
  });
  const encoder = engine.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroup);
  pass.dispatchWorkgroups(counts.reduce((sum, count) => sum + count, 0));
  pass.end();
  engine.submit(encoder);
  const read = await engine.read(storages);
  for (const { buffer } of storages) engine.destroyBuffer(buffer);
  expect(read.map((bytes) => new Set(new Uint32Array(bytes)))).toEqual(counts.map(() => new Set([1])));
});

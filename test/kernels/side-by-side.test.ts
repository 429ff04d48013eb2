import { expect, it } from 'vitest';
import { sideBySide } from '../../src/kernels/side-by-side.js';
import { engine } from '../support/gpu.js';

/** Stores, for each workgroup, 1 and its place in the whole dispatch; the sum, should it run twice. */
const COUNTING = `
@group(0) @binding(0) var<storage, read_write> Y: array<u32>;
const WORKGROUP = 64;
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (lane == 0) {
    Y[(group.z * groups.y + group.y) * groups.x + group.x] += 1u + place;
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
] as [number, number, number][][])(
  'runs each workgroup of every kernel once, in order and spread evenly: %j, %j',
  async (...workgroups) => {
    const counts = workgroups.map(([x, y, z]) => x * y * z);
    const total = counts.reduce((sum, count) => sum + count, 0);
    const fused = sideBySide(workgroups.map((groups) => ({ code: COUNTING, workgroups: groups })));
    const code = `var<private> place: u32;\n${fused.replace('  var at = fused.x;', '  place = fused.x;\n$&')}`;
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
    pass.dispatchWorkgroups(total);
    pass.end();
    engine.submit(encoder);
    const read = await engine.read(storages);
    for (const { buffer } of storages) engine.destroyBuffer(buffer);
    const places = read.map((bytes) => Array.from(new Uint32Array(bytes), (value) => value - 1));
    expect(places.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: total }, (_, i) => i));
    places.forEach((own, kernel) => {
      // Its workgroup number i is where i of its share have passed, but for what the kernels before it round.
      const most = Math.max(...own.map((place, i) => Math.abs((place * counts[kernel]!) / total - i)));
      expect(most).toBeLessThanOrEqual(1 + kernel);
    });
  },
);

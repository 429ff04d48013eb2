// A program that owns the device, processes images on it, and has a gate decide about the result where it lies: no pixel comes back
// to the CPU. Run it with `node examples/host.mjs` after `npm run build`. In a browser `gpu` is `navigator.gpu`.
import { readFile } from 'node:fs/promises';
import { calibrateGate, Detector, decodeNetwork, Engine, readStateDict, syntheticImages } from 'energate';
import { create } from 'webgpu';

const gpu = create([]);
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice(); // default limits suffice

// The host's own work: fading COUNT images to grey (32 x 32, RGB bytes).
const COUNT = 64;
const WORDS = (COUNT * 32 * 32 * 3) / 4;
const [STORAGE, UNIFORM, COPY_SRC, COPY_DST] = [0x80, 0x40, 0x4, 0x8];
const pipeline = device.createComputePipeline({
  layout: 'auto',
  compute: {
    module: device.createShaderModule({
      code: `
        @group(0) @binding(0) var<storage, read> clean: array<u32>;
        @group(0) @binding(1) var<storage, read_write> faded: array<u32>;
        @group(0) @binding(2) var<uniform> amount: f32;

        @compute @workgroup_size(64)
        fn main(@builtin(global_invocation_id) id: vec3u) {
          if (id.x >= arrayLength(&faded)) { return; }
          faded[id.x] = pack4x8unorm(mix(unpack4x8unorm(clean[id.x]), vec4f(0.5), amount));
        }`,
    }),
  },
});
const clean = device.createBuffer({ size: WORDS * 4, usage: STORAGE | COPY_DST });
const faded = device.createBuffer({ size: WORDS * 4, usage: STORAGE | COPY_SRC });
const amount = device.createBuffer({ size: 4, usage: UNIFORM | COPY_DST });
const bindGroup = device.createBindGroup({
  layout: pipeline.getBindGroupLayout(0),
  entries: [clean, faded, amount].map((buffer, binding) => ({ binding, resource: { buffer } })),
});
device.queue.writeBuffer(clean, 0, syntheticImages({ seed: 3, count: COUNT, split: 'test' }).images);

// The gate, on the host's device.
const engine = await Engine.from(device);
const name = 'wrn-10-1-shapes.safetensors';
const weights = await readFile(new URL(`weights/${name}`, import.meta.resolve('energate/package.json')));
const heldOut = syntheticImages({ seed: 2, count: 200, split: 'test' });
const network = decodeNetwork(readStateDict(weights, name), name);
const detector = await Detector.of(engine, await calibrateGate(engine, network, heldOut, { accept: 0.95 }));

for (const fade of [0, 0.5, 1]) {
  device.queue.writeBuffer(amount, 0, Float32Array.of(fade));
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroup);
  pass.dispatchWorkgroups(Math.ceil(WORDS / 64));
  pass.end();
  device.queue.submit([encoder.finish()]);
  const decisions = await detector.check({ buffer: faded, count: COUNT });
  console.log(`faded by ${fade}: ${decisions.filter(({ accepted }) => accepted).length} of ${COUNT} accepted`);
}

detector.destroy();
engine.destroy(); // the device is still the host's
device.destroy();

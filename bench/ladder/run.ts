/**
 * The steps that the forward convolution came by, each checked against float64 before it is timed:
 * `npx tsx bench/ladder/run.ts [FILE]` writes the figures to FILE as JSON.
 */
import { readFileSync } from 'node:fs';
import type { PreparedDispatch } from '../../src/gpu/engine.js';
import { type ConvolutionOptions, conv2dForward } from '../../src/kernels/conv2d.js';
import { specialise } from '../../src/kernels/dispatch.js';
import { writeFileAtomic } from '../../src/node/files.js';
import { openEngine } from '../../src/node.js';
import { conv2d } from '../../test/reference/convolution.js';
import { uniform } from '../inputs.js';

/** The shape that the written-out shaders have. */
const SHAPE = { batch: 3, inHeight: 32, inWidth: 32, inChannels: 32, outChannels: 32, kernel: 3, stride: 1 };
const PIXELS = SHAPE.batch * SHAPE.inHeight * SHAPE.inWidth;
const FLOPS = 2 * PIXELS * 9 * SHAPE.inChannels * SHAPE.outChannels;
const RUNS = 21;
/** Of the largest output: sums of 288 products in float32. */
const TOLERANCE = 1e-5;

const engine = await openEngine();
const data = {
  x: uniform(PIXELS * SHAPE.inChannels, 1),
  w: uniform(9 * SHAPE.inChannels * SHAPE.outChannels, 2),
};
const x = engine.upload('x', data.x);
const w = engine.upload('w', data.w);
const y = engine.upload('y', new Float32Array(PIXELS * SHAPE.outChannels));
const expected = conv2d(Float64Array.from(data.x), Float64Array.from(data.w), {
  ...{ n: SHAPE.batch, h: SHAPE.inHeight, w: SHAPE.inWidth, cin: SHAPE.inChannels },
  ...{ kh: 3, kw: 3, cout: SHAPE.outChannels, stride: 1, pad: 1 },
});
const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

async function prepare(
  name: string,
  code: string,
  bindings: readonly (typeof x)[],
  workgroups: PreparedDispatch['workgroups'],
): Promise<PreparedDispatch> {
  const pipeline = await engine.device.createComputePipelineAsync({
    layout: 'auto',
    compute: { module: engine.device.createShaderModule({ label: name, code }), entryPoint: 'main' },
  });
  const entries = bindings.map((resource, binding) => ({ binding, resource }));
  const bindGroup = engine.device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  return { shader: name, pipeline, bindGroup, workgroups };
}

const written = (name: string, workgroups: PreparedDispatch['workgroups']) =>
  prepare(name, readFileSync(new URL(`${name}.wgsl`, import.meta.url), 'utf8'), [x, w, y], workgroups);

const shipped = (name: string, options: ConvolutionOptions) => {
  const dispatch = conv2dForward(SHAPE, { x, w: [w], y }, options);
  return prepare(name, specialise(dispatch), dispatch.bindings, dispatch.workgroups);
};

const steps = [
  await written('1-naive', [Math.ceil((PIXELS * SHAPE.outChannels) / 64), 1, 1]),
  await written('2-vectors', [Math.ceil((PIXELS * SHAPE.outChannels) / 4 / 64), 1, 1]),
  await written('3-tiles', [PIXELS / (4 * 64), 2, 1]),
  await shipped('4-window', {}),
  ...(engine.traits.lanes ? [await shipped('5-exchange', engine.traits)] : []),
  await shipped('6-workgroup', { workgroupMemory: true }),
];

const rows = [];
for (const step of steps) {
  engine.write(y, new Float32Array(PIXELS * SHAPE.outChannels).fill(Number.NaN));
  await engine.time([step]);
  const [bytes] = await engine.read([y]);
  const error = new Float32Array(bytes!).reduce((most, value, i) => {
    const difference = Math.abs(value - expected[i]!) / largest;
    return difference <= most ? most : difference;
  }, 0);
  if (!(error < TOLERANCE)) throw new Error(`${step.shader} is wrong: ${error} from the reference`);
  const times: number[] = [];
  for (let run = 0; run < RUNS; run++) times.push((await engine.time([step]))[0]!);
  times.sort((a, b) => a - b);
  const ms = times[(RUNS - 1) / 2]!;
  rows.push({ step: step.shader, ms_median: ms, ms_min: times[0]!, gflops: FLOPS / ms / 1e6, error });
}
const first = rows[0]!.ms_median;
for (const { step, ms_median, gflops } of rows) {
  console.log(
    `${step.padEnd(12)} ${ms_median.toFixed(2).padStart(8)} ms ${gflops.toFixed(1).padStart(6)} GFLOP/s ${(first / ms_median).toFixed(1).padStart(6)}x`,
  );
}
const { description, device } = engine.adapter;
const [file] = process.argv.slice(2);
if (file) {
  const result = { adapter: description || device, date: new Date().toISOString(), shape: SHAPE, runs: RUNS, rows };
  await writeFileAtomic(file, new TextEncoder().encode(`${JSON.stringify(result, null, 1)}\n`));
}
engine.destroy();

/**
 * Winograd's F(2x2, 3x3) against the shipped forward convolution, in turn, each checked against float64 before it is timed:
 * `npx tsx bench/ladder/winograd.ts [FILE]` writes the figures to FILE as JSON. Input and output are transformed by kernels of
 * their own; between them are sixteen matrix products, by the shipped kernel. The filter's transformation is not timed.
 */
import { readFileSync } from 'node:fs';
import type { PreparedDispatch, Storage } from '../../src/gpu/engine.js';
import { conv2dForward, filterParts } from '../../src/kernels/conv2d.js';
import type { Dispatch } from '../../src/kernels/dispatch.js';
import { matmul } from '../../src/kernels/matmul.js';
import { tile } from '../../src/kernels/tiles.js';
import { writeFileAtomic } from '../../src/node/files.js';
import { openEngine } from '../../src/node.js';
import { conv2d } from '../../test/reference/convolution.js';
import { uniform } from '../inputs.js';
import { spread } from '../statistics.js';

/** The stride-1 convolutions of WRN-40-2, and the narrow ones of WRN-10-1. */
const SHAPES = [
  { channels: 16, side: 32 },
  { channels: 32, side: 32 },
  { channels: 64, side: 16 },
  { channels: 128, side: 8 },
];
const BATCH = 12;
const RUNS = 15;
/** Dispatched so often between two looks at the clock. */
const REPEATED = 5;
/** Of the largest output. */
const TOLERANCE = 1e-5;

const engine = await openEngine();
const part = ({ buffer, offset }: Storage, index: number, bytes: number): Storage => ({
  buffer,
  offset: offset + index * bytes,
  size: bytes,
});

/** U = G g transpose(G) of a filter g [3, 3, channels, channels]: [16, channels, channels]. */
function transformed(w: Float32Array, channels: number): Float32Array {
  const G = [
    [1, 0, 0],
    [0.5, 0.5, 0.5],
    [0.5, -0.5, 0.5],
    [0, 0, 1],
  ] as const;
  const area = channels * channels;
  const u = new Float32Array(16 * area);
  for (let at = 0; at < area; at++) {
    for (let i = 0; i < 16; i++) {
      let sum = 0;
      for (let ky = 0; ky < 3; ky++) {
        for (let kx = 0; kx < 3; kx++) sum += G[i >> 2]![ky]! * G[i & 3]![kx]! * w[(ky * 3 + kx) * area + at]!;
      }
      u[i * area + at] = sum;
    }
  }
  return u;
}

async function written(name: string, constants: Record<string, number>, bindings: Storage[], invocations: number) {
  const file = readFileSync(new URL(`${name}.wgsl`, import.meta.url), 'utf8');
  const code = file.replace(/const (\w+) = \d+;/g, (line, constant: string) =>
    constant in constants ? `const ${constant} = ${constants[constant]};` : line,
  );
  const pipeline = await engine.device.createComputePipelineAsync({
    layout: 'auto',
    compute: { module: engine.device.createShaderModule({ label: name, code }), entryPoint: 'main' },
  });
  const entries = bindings.map((resource, binding) => ({ binding, resource }));
  const bindGroup = engine.device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  return { shader: name, pipeline, bindGroup, workgroups: [Math.ceil(invocations / 64), 1, 1] } as PreparedDispatch;
}

/** The shipped matrix product, with the tiles that suit tall and narrow ones. */
function product(tiles: number, channels: number, a: Storage, b: Storage, y: Storage): Dispatch<Storage> {
  const { lanes } = engine.traits;
  return tile(matmul({ m: tiles, n: channels, k: channels }, { a, b, y }, { lanes }), { rows: 4, columns: 4 });
}

async function milliseconds(dispatches: readonly PreparedDispatch[]): Promise<number> {
  const begin = performance.now();
  const encoder = engine.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (let i = 0; i < REPEATED; i++) {
    for (const { pipeline, bindGroup, workgroups } of dispatches) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(...workgroups);
    }
  }
  pass.end();
  engine.submit(encoder);
  await engine.finish();
  return (performance.now() - begin) / REPEATED;
}

const rows = [];
for (const { channels, side } of SHAPES) {
  const tiles = (BATCH * side * side) / 4;
  const data = { x: uniform(BATCH * side * side * channels, 1), w: uniform(9 * channels * channels, 2) };
  const x = engine.upload('x', data.x);
  const w = engine.upload('w', data.w);
  const y = engine.upload('y', new Float32Array(data.x.length));
  const u = engine.upload('u', transformed(data.w, channels));
  const v = engine.upload('v', new Float32Array(16 * tiles * channels));
  const m = engine.upload('m', new Float32Array(16 * tiles * channels));
  const shape = {
    batch: BATCH,
    inHeight: side,
    inWidth: side,
    inChannels: channels,
    outChannels: channels,
    kernel: 3,
    stride: 1,
  };
  const { parts } = filterParts(shape, engine.traits);
  const filter = Array.from({ length: parts }, (_, i) => part(w, i, (9 * channels * channels * 4) / parts));
  const constants = { SIDE: side, CHANNELS: channels, TILES: tiles };
  const products = Array.from({ length: 16 }, (_, i) => {
    const [planes, square] = [tiles * channels * 4, channels * channels * 4];
    return product(tiles, channels, part(v, i, planes), part(u, i, square), part(m, i, planes));
  });
  const ways = {
    direct: [await engine.prepare(conv2dForward(shape, { x, w: filter, y }, engine.traits))],
    winograd: [
      await written('winograd-input', constants, [x, v], (tiles * channels) / 4),
      ...(await Promise.all(products.map((dispatch) => engine.prepare(dispatch)))),
      await written('winograd-output', constants, [m, y], (tiles * channels) / 4),
    ],
  };
  const expected = conv2d(Float64Array.from(data.x), Float64Array.from(data.w), {
    ...{ n: BATCH, h: side, w: side, cin: channels, kh: 3, kw: 3, cout: channels, stride: 1, pad: 1 },
  });
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const errors: Record<string, number> = {};
  for (const [name, dispatches] of Object.entries(ways)) {
    engine.write(y, new Float32Array(data.x.length).fill(Number.NaN));
    await milliseconds(dispatches);
    const [bytes] = await engine.read([y]);
    const error = new Float32Array(bytes!).reduce((most, value, i) => {
      const difference = Math.abs(value - expected[i]!) / largest;
      return difference <= most ? most : difference;
    }, 0);
    if (!(error < TOLERANCE)) throw new Error(`${name} is wrong: ${error} from the reference`);
    errors[name] = error;
  }
  const times: Record<string, number[]> = { direct: [], winograd: [], products: [] };
  for (let run = 0; run < RUNS; run++) {
    times.direct!.push(await milliseconds(ways.direct));
    times.winograd!.push(await milliseconds(ways.winograd));
    times.products!.push(await milliseconds(ways.winograd.slice(1, -1)));
  }
  const flops = 2 * BATCH * side * side * 9 * channels * channels;
  const of = (name: string) => ({ ...spread(times[name]!), gflops: flops / spread(times[name]!).ms_median / 1e6 });
  const row = { case: `3x3, ${channels} channels at ${side}x${side}`, direct: of('direct'), winograd: of('winograd') };
  const result = {
    ...row,
    products: spread(times.products!),
    ratio: row.direct.ms_median / row.winograd.ms_median,
    errors,
  };
  rows.push(result);
  console.log(
    `${row.case}: direct ${row.direct.ms_median.toFixed(2)} ms, winograd ${row.winograd.ms_median.toFixed(2)} ms (products ${result.products.ms_median.toFixed(2)})`,
  );
  for (const { buffer } of [x, w, y, u, v, m]) engine.destroyBuffer(buffer);
}
const { description, device } = engine.adapter;
const [file] = process.argv.slice(2);
if (file) {
  const result = { adapter: description || device, date: new Date().toISOString(), batch: BATCH, runs: RUNS, rows };
  await writeFileAtomic(file, new TextEncoder().encode(`${JSON.stringify(result, null, 1)}\n`));
}
engine.destroy();

/**
 * Compiles a program and runs it, in a process of its own. Prints what that took, and how many devices it asked for, of which
 * with NO_HELPER=1 the second is refused.
 */
import { Engine } from '../../../src/gpu/engine.js';
import { Graph } from '../../../src/graph/graph.js';
import { conv2d } from '../../../src/graph/ops/conv2d.js';
import { Program } from '../../../src/graph/program.js';
import { openEngine } from '../../../src/node.js';

const open = Engine.open;
let devices = 0;
Engine.open = (...args) => {
  if (++devices > 1 && process.env.NO_HELPER) return Promise.reject(new Error('refused'));
  return open.apply(Engine, args);
};

const engine = await openEngine();
const graph = new Graph();
const x = graph.input('x', [1, 8, 8, 4]);
let y = x;
const filters = [16, 32, 48, 64, 48, 32].map((channels, i) => {
  const filter = graph.input(`w${i}`, [3, 3, y.shape[3]!, channels]);
  y = conv2d(y, filter, { stride: 1 });
  return filter;
});
const begin = performance.now();
const program = await Program.compile(engine, graph, [y]);
const compiled = performance.now();
program.write(
  x,
  new Float32Array(256).map((_, i) => Math.sin(i)),
);
for (const filter of filters) {
  const size = filter.shape.reduce((a, b) => a * b);
  program.write(
    filter,
    new Float32Array(size).map((_, i) => Math.sin(i) / 10),
  );
}
program.run();
const [values] = await program.read(y);
const read = performance.now();
console.log(JSON.stringify({ devices, compile: compiled - begin, firstRun: read - compiled, values: [...values!] }));
engine.destroy();

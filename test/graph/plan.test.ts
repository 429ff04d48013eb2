import { describe, expect, it } from 'vitest';
import { gradients } from '../../src/graph/differentiate.js';
import { Graph, sizeOf, type Tensor, VIEW_ALIGNMENT } from '../../src/graph/graph.js';
import { batchNormTraining } from '../../src/graph/ops/batch-norm.js';
import { conv2d } from '../../src/graph/ops/conv2d.js';
import { add, relu } from '../../src/graph/ops/elementwise.js';
import { matmul } from '../../src/graph/ops/matmul.js';
import { pack, updateRunningStatistics } from '../../src/graph/ops/optimiser.js';
import { globalAveragePool } from '../../src/graph/ops/pool.js';
import { type Plan, plan, resolveView } from '../../src/graph/plan.js';
import { partsOf } from '../../src/kernels/dispatch.js';
import { noise } from '../support/numbers.js';

/**
 * Run a plan without a GPU: what a kernel meets first it writes, all else it reads, and has to find where it was left.
 * Packed tensors and views are told apart by where they lie.
 */
function simulate({ dispatches, places, slots }: Plan, outputs: readonly Tensor[]): void {
  const memory = new Map<string, Tensor>();
  const written = new Set<Tensor>();
  const key = ({ slot, offset }: { slot: number; offset: number }) => `${slot}:${offset}`;
  for (const { bindings } of dispatches) {
    for (const tensor of bindings) {
      const place = places.get(tensor);
      if (!place) {
        expect(resolveView(tensor).base.node, `${tensor.name} has no place`).toBeUndefined();
        continue;
      }
      expect(place.offset + sizeOf(tensor.shape) * 4).toBeLessThanOrEqual(slots[place.slot]!);
      if (written.has(tensor)) expect(memory.get(key(place)), tensor.name).toBe(tensor);
      written.add(tensor);
      memory.set(key(place), tensor);
    }
    const own = bindings.filter((tensor) => places.has(tensor));
    const distinct = new Set(own.map((tensor) => key(places.get(tensor)!)));
    expect(distinct.size, 'two tensors of a dispatch share memory').toBe(new Set(own).size);
  }
  for (const output of outputs) expect(memory.get(key(places.get(output)!)), output.name).toBe(output);
}

const total = (slots: readonly number[]) => slots.reduce((sum, bytes) => sum + bytes, 0);

describe('memory by liveness', () => {
  it.each(Array.from({ length: 30 }, (_, seed) => seed))(
    'random graph %i: nothing is overwritten that is still read',
    (seed) => {
      const random = noise(2000, seed + 1);
      let at = 0;
      const pick = (n: number) => Math.floor(((random[at++]! + 1) / 2) * n);
      const graph = new Graph();
      const tensors = [3, 30, 17].map((size) => graph.input(`input${size}`, [size, size]));
      for (let i = 0; i < 40; i++) {
        const a = tensors[pick(tensors.length)]!;
        const alike = tensors.filter((t) => t.shape[0] === a.shape[0] && t.shape[1] === a.shape[1]);
        const b = alike[pick(alike.length)]!;
        const joinable = tensors.filter((t) => t.shape[0] === a.shape[1]);
        const kind = pick(3);
        if (kind === 0) tensors.push(relu(a));
        else if (kind === 1) tensors.push(add(a, b));
        else tensors.push(matmul(a, joinable[pick(joinable.length)]!));
      }
      const computed = tensors.slice(3);
      const outputs = [computed.at(-1)!, computed[pick(computed.length)]!, computed[pick(computed.length)]!];
      const result = plan(graph, outputs);
      simulate(result, outputs);
      expect(total(result.slots)).toBeGreaterThanOrEqual(result.peakBytes);
    },
  );

  it('a chain takes two slots and one for its end, however long', () => {
    const graph = new Graph();
    let x = graph.input('x', [100]);
    for (let i = 0; i < 20; i++) x = relu(x);
    const { slots, peakBytes, dispatches } = plan(graph, [x]);
    expect(dispatches).toHaveLength(20);
    expect(slots).toEqual([400, 400, 400]);
    expect(peakBytes).toBe(800);
  });

  it('training a WRN-16-1 takes at most 1.3 times what is alive at once', () => {
    const graph = new Graph();
    const parameters: Tensor[] = [];
    const parameter = (shape: number[]) => {
      parameters.push(graph.input(`parameter${parameters.length}`, shape));
      return parameters.at(-1)!;
    };
    const filter = (kernel: number, x: Tensor, out: number) => parameter([kernel, kernel, x.shape[3]!, out]);
    const activate = (x: Tensor) =>
      batchNormTraining(x, { gamma: parameter([x.shape[3]!]), beta: parameter([x.shape[3]!]) }, { relu: true }).y;
    const images = graph.input('images', [32, 32, 32, 3]);
    let x = conv2d(images, filter(3, images, 16), { stride: 1 });
    for (const [group, channels] of [16, 32, 64].entries()) {
      for (const block of [0, 1]) {
        const stride = group > 0 && block === 0 ? 2 : 1;
        const a = activate(x);
        const h = activate(conv2d(a, filter(3, a, channels), { stride }));
        const same = x.shape[3] === channels;
        const residual: Tensor = same ? x : conv2d(a, filter(1, a, channels), { stride });
        x = conv2d(h, filter(3, h, channels), { stride: 1, residual });
      }
    }
    const logits = matmul(globalAveragePool(activate(x)), parameter([64, 10]));
    const found = gradients(logits, graph.input('gradient', [32, 10]), parameters);
    const result = plan(graph, found);
    simulate(result, found);
    expect(total(result.slots)).toBeLessThanOrEqual(1.3 * result.peakBytes);
    expect(result.dispatches.flatMap(partsOf).map(({ shader }) => shader)).not.toContain('add');
  });
});

describe('what is computed', () => {
  it('leaves out what no output and no effect needs', () => {
    const graph = new Graph();
    const x = graph.input('x', [4]);
    const y = relu(x);
    add(y, x);
    expect(plan(graph, [y]).dispatches.map(({ shader }) => shader)).toEqual(['relu']);
  });

  it('keeps an effect, and what it reads', () => {
    const graph = new Graph();
    const x = graph.input('x', [4]);
    const state = { step: graph.input('step', [4], 'u32'), halted: graph.input('halted', [1], 'u32') };
    updateRunningStatistics(graph.input('running', [4]), relu(x), state, { momentum: 0.1 });
    add(x, x);
    expect(plan(graph, []).dispatches.map(({ shader }) => shader)).toEqual(['relu', 'running_statistics']);
  });
});

describe('packs and views', () => {
  it('a pack has a slot of its own in which its parts are computed, and its outputs lie apart', () => {
    const graph = new Graph();
    const x = graph.input('x', [10]);
    const [a, b] = [relu(x), add(x, x)];
    const packed = pack([a, b], [0, VIEW_ALIGNMENT], 2 * VIEW_ALIGNMENT);
    const y = relu(add(a, b));
    const { places, slots, dispatches } = plan(graph, [packed, y]);
    expect(dispatches.flatMap(partsOf)).toHaveLength(4);
    const { slot } = places.get(packed)!;
    expect(places.get(a)).toEqual({ slot, offset: 0 });
    expect(places.get(b)).toEqual({ slot, offset: VIEW_ALIGNMENT * 4 });
    expect(slots[slot]).toBe(2 * VIEW_ALIGNMENT * 4);
    const others = [...places].filter(([tensor]) => ![packed, a, b].includes(tensor)).map(([, place]) => place.slot);
    expect(others).not.toContain(slot);
  });

  it('a pack shares its slot with nothing before or after, though it is no output: the gaps stay zero', () => {
    const graph = new Graph();
    const x = graph.input('x', [2 * VIEW_ALIGNMENT]);
    const state = { step: graph.input('step', [4], 'u32'), halted: graph.input('halted', [1], 'u32') };
    let y = relu(relu(relu(x)));
    const packed = pack([relu(graph.view(y, 'part', 0, [10]))], [0], 2 * VIEW_ALIGNMENT);
    updateRunningStatistics(graph.input('running', packed.shape), packed, state, { momentum: 0.1 });
    for (let i = 0; i < 3; i++) y = relu(y);
    const { places } = plan(graph, [y]);
    const { slot } = places.get(packed)!;
    const residents = [...places].filter(([, place]) => place.slot === slot).map(([tensor]) => tensor);
    expect(residents).toHaveLength(2);
    expect(residents).toContain(packed);
  });

  it('a view of a computed tensor keeps it alive', () => {
    const graph = new Graph();
    const base = relu(graph.input('x', [2 * VIEW_ALIGNMENT]));
    const part = graph.view(base, 'part', VIEW_ALIGNMENT, [10]);
    let chain = relu(base);
    for (let i = 0; i < 4; i++) chain = relu(chain);
    const y = relu(part);
    const { places } = plan(graph, [y, chain]);
    expect(places.get(part)).toEqual({ slot: places.get(base)!.slot, offset: VIEW_ALIGNMENT * 4 });
    const between = graph.nodes.slice(1, 6).map(({ outputs }) => places.get(outputs[0]!)!.slot);
    expect(between).not.toContain(places.get(base)!.slot);
  });

  it('refuses a tensor that is packed twice', () => {
    const graph = new Graph();
    const a = relu(graph.input('x', [10]));
    const packs = [pack([a], [0], 10), pack([a], [0], 10)];
    expect(() => plan(graph, packs)).toThrow(`pack: ${a.name} is packed twice`);
  });
});

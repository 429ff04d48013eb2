import { ShapeError } from '../errors.js';
import type { Dispatch } from '../kernels/dispatch.js';
import { type FusionOptions, fuse } from './fuse.js';
import { bytesOf, type Graph, isHalf, type LoweringOptions, type Node, type Shape, type Tensor } from './graph.js';
import { packOp } from './ops/optimiser.js';

/** What a graph becomes before there is a device: dispatches in order, and which piece of memory each tensor gets. */
export interface Plan {
  readonly dispatches: readonly Dispatch<Tensor>[];
  /** Bytes of each slot: a buffer that tensors whose lives do not overlap take in turn. */
  readonly slots: readonly number[];
  /** Where a computed tensor lies: a slot, and a byte offset in it. Inputs are absent. */
  readonly places: ReadonlyMap<Tensor, Place>;
  /** The most bytes of computed tensors that are alive at once: no plan needs less. */
  readonly peakBytes: number;
}

export interface Place {
  readonly slot: number;
  readonly offset: number;
}

export interface PlanOptions extends FusionOptions, LoweringOptions {
  /** A kernel with the tile that was found for it. */
  readonly tiled?: ((kernel: Dispatch<Tensor>) => Dispatch<Tensor>) | undefined;
  /** Of tensors that are bound to ranges of one buffer: one of them for all, and where each begins, in elements. */
  readonly shared?: ReadonlyMap<Tensor, { base: Tensor; offset: number }> | undefined;
}

/** The tensor whose memory `tensor` is a part of, and where, in elements. */
export function resolveView(tensor: Tensor): { base: Tensor; offset: number } {
  if (!tensor.view) return { base: tensor, offset: 0 };
  const { base, offset } = resolveView(tensor.view.base);
  return { base, offset: offset + tensor.view.offset };
}

/**
 * Plan a graph: keep the nodes that `outputs` or an effect depends on, lower them, and give memory by liveness. Slots are
 * whole buffers and not ranges of an arena, since WebGPU forbids a dispatch to read one range of a buffer and write
 * another; outputs and packs get slots of their own.
 */
export function plan(graph: Graph, outputs: readonly Tensor[], options: PlanOptions = {}): Plan {
  const half = outputs.find((output) => isHalf(output, options));
  if (half) throw new ShapeError(`${half.name} cannot be an output as float16: compile this graph without`);
  const nodes = liveNodes(graph, outputs);
  const packed = packedTensors(nodes);
  const root = (tensor: Tensor) => {
    const { base, offset } = resolveView(tensor);
    const pack = packed.get(base);
    return pack ? { base: pack.base, offset: pack.offset + offset } : { base, offset };
  };

  const buffer = (tensor: Tensor) => {
    const { base, offset } = root(tensor);
    const shared = options.shared?.get(base);
    return shared ? { base: shared.base, offset: shared.offset + offset } : { base, offset };
  };
  const dispatches = fuse(lower(nodes, options), buffer, options);

  const first = new Map<Tensor, number>();
  const last = new Map<Tensor, number>();
  dispatches.forEach(({ bindings }, i) => {
    for (const tensor of bindings) {
      const { base } = root(tensor);
      if (!base.node) continue;
      if (!first.has(base)) first.set(base, i);
      last.set(base, i);
    }
  });
  const pinned = new Set([
    ...outputs.map((tensor) => root(tensor).base),
    ...[...packed.values()].map(({ base }) => base),
  ]);

  const bytes = (tensor: Tensor) => bytesOf(tensor, options);
  const slots: number[] = [];
  const free: number[] = [];
  const slotOf = new Map<Tensor, number>();
  const take = (need: number): number => {
    const slot = free.length ? bestSlot(free, slots, need) : undefined;
    if (slot === undefined) return slots.push(need) - 1;
    free.splice(free.indexOf(slot), 1);
    slots[slot] = Math.max(slots[slot]!, need);
    return slot;
  };
  let alive = 0;
  let peakBytes = 0;
  dispatches.forEach(({ bindings }, i) => {
    const bases = new Set(bindings.map((tensor) => root(tensor).base));
    for (const base of bases) {
      if (first.get(base) !== i) continue;
      slotOf.set(base, pinned.has(base) ? slots.push(bytes(base)) - 1 : take(bytes(base)));
      alive += bytes(base);
    }
    peakBytes = Math.max(peakBytes, alive);
    for (const base of bases) {
      if (last.get(base) !== i || pinned.has(base)) continue;
      free.push(slotOf.get(base)!);
      alive -= bytes(base);
    }
  });

  const places = new Map<Tensor, Place>();
  for (const tensor of [...dispatches.flatMap(({ bindings }) => bindings), ...outputs]) {
    const { base, offset } = root(tensor);
    const slot = slotOf.get(base);
    if (slot !== undefined) places.set(tensor, { slot, offset: offset * 4 });
  }
  return { dispatches, slots, places, peakBytes };
}

/** The kernels of these nodes, in order. */
function lower(nodes: readonly Node[], options: PlanOptions): Dispatch<Tensor>[] {
  const { tiled = (kernel) => kernel } = options;
  return nodes.flatMap((node) => {
    const scratch = (shape: Shape): Tensor => ({
      graph: node.outputs[0]!.graph,
      name: `scratch of ${node.op.name}`,
      shape,
      dtype: 'f32',
      node,
    });
    // A view is of float32, as parameters are.
    const half = node.inputs.find((input) => isHalf(resolveView(input).base, options));
    if (half && (node.op.float16 === undefined || half.view))
      throw new ShapeError(`${node.op.name} cannot read ${half.name} as float16: compile this graph without`);
    return node.op.lower(node, scratch, options).map(tiled);
  });
}

/** The kernels of a graph one by one, as {@link plan} begins with them. */
export const kernelsOf = (graph: Graph, outputs: readonly Tensor[], options: LoweringOptions): Dispatch<Tensor>[] =>
  lower(liveNodes(graph, outputs), options);

function liveNodes(graph: Graph, outputs: readonly Tensor[]): Node[] {
  const live = new Set<Node>();
  const mark = (tensor: Tensor): void => {
    const { node } = resolveView(tensor).base;
    if (node) live.add(node);
  };
  outputs.forEach(mark);
  for (const node of [...graph.nodes].reverse()) {
    if (node.op.effect) live.add(node);
    if (live.has(node)) node.inputs.forEach(mark);
  }
  return graph.nodes.filter((node) => live.has(node));
}

function packedTensors(nodes: readonly Node[]): Map<Tensor, { base: Tensor; offset: number }> {
  const packed = new Map<Tensor, { base: Tensor; offset: number }>();
  for (const node of nodes) {
    if (node.op !== packOp) continue;
    const { offsets } = node.attributes as { offsets: readonly number[] };
    node.inputs.forEach((part, i) => {
      if (packed.has(part)) throw new ShapeError(`pack: ${part.name} is packed twice`);
      packed.set(part, { base: node.outputs[0]!, offset: offsets[i]! });
    });
  }
  return packed;
}

/**
 * The free slot that wastes least: the smallest that is large enough, but not so large that a big tensor will miss it; else
 * the largest of those that are too small, which then grows. None where all are far larger.
 */
function bestSlot(free: readonly number[], slots: readonly number[], need: number): number | undefined {
  const fitting = free.filter((slot) => slots[slot]! >= need && slots[slot]! <= 2 * need + 4096);
  if (fitting.length) return fitting.reduce((best, slot) => (slots[slot]! < slots[best]! ? slot : best));
  const smaller = free.filter((slot) => slots[slot]! < need && slots[slot]! * 2 >= need);
  return smaller.length ? smaller.reduce((best, slot) => (slots[slot]! > slots[best]! ? slot : best)) : undefined;
}

import { type Dispatch, MAX_WORKGROUPS, partsOf, select } from '../kernels/dispatch.js';
import { type Demands, demandsOf, memoryBytes, together } from '../kernels/side-by-side.js';
import { sizeOf, type Tensor } from './graph.js';

/** Where a tensor's memory is: that of `base`, which several may share. */
export type Root = (tensor: Tensor) => { base: Tensor; offset: number };

/** A dispatch, what it takes, and which tensors it reads and writes. */
interface Entry {
  readonly dispatch: Dispatch<Tensor>;
  readonly demands: Demands;
  readonly reads: readonly Tensor[];
  readonly writes: readonly Tensor[];
}

/** Limits that every device has: WebGPU's defaults. */
const MAX_STORAGE_BUFFERS = 8;
const MAX_UNIFORM_BUFFERS = 12;
const MAX_WORKGROUP_MEMORY = 16384;

/** What decides about fusing beside the graph. */
export interface FusionOptions {
  /**
   * Of kernels with large register tiles, a shader has one beside smaller ones: LLVM, by which software drivers compile, takes long
   * enough for each. On a GPU such a kernel stays alone: side by side it is a function that no longer sees the ranges of its indices, so
   * workgroup memory is read with bounds checks, and it runs in fewer registers.
   */
  readonly softwareCompiler?: boolean;
}

const CONVOLUTIONS: ReadonlySet<string> = new Set([
  'conv2d',
  'conv2d_tiled',
  'conv2d_matrix',
  'conv2d_backward_weights',
  'conv2d_backward_weights_tiled',
  'conv2d_backward_weights_matrix',
]);

/** Sums that wait to run together: so many are one dispatch, by their bindings. */
const SUMS_TOGETHER = 4;

/**
 * Fewer dispatches for the same work: neighbours that do not depend on one another become one dispatch, kernels side by side; a
 * 1x1 convolution goes back to one of its direction; and sums over splits, which nothing reads before the step's end, wait for
 * one another, or on software compilers for the next backward-weights. It changes no result.
 */
export function fuse(
  dispatches: readonly Dispatch<Tensor>[],
  root: Root,
  { softwareCompiler = false }: FusionOptions = {},
): Dispatch<Tensor>[] {
  const fused: Entry[] = [];
  const waiting: Entry[] = [];
  const joined = (a: Entry | undefined, b: Entry) => {
    if (!a) return undefined;
    const apart = softwareCompiler ? hasLargeTile(a) && hasLargeTile(b) : hasLargeTile(a) || hasLargeTile(b);
    return apart ? undefined : join(a, b, root);
  };
  const place = (entry: Entry) => {
    for (const at of [besideOf(entry, fused, root), fused.length - 1]) {
      const both = joined(fused[at], entry);
      if (!both) continue;
      fused[at] = both;
      return;
    }
    if (softwareCompiler) addSums(fused, waiting, root);
    fused.push(entry);
  };
  for (const entry of dispatches.map(entryOf)) {
    if (waiting.some((sum) => !commute(sum, entry, root))) waiting.splice(0).forEach(place);
    if (entry.dispatch.shader !== 'sum_leading') place(entry);
    else if (waiting.push(entry) === SUMS_TOGETHER && !softwareCompiler) waiting.splice(0).forEach(place);
  }
  if (softwareCompiler) addSums(fused, waiting, root);
  waiting.splice(0).forEach(place);
  return fused.map(({ dispatch }) => dispatch);
}

/** Of a 1x1 convolution: where a convolution of its direction stands, with nothing between them that it depends on. */
function besideOf(entry: Entry, fused: readonly Entry[], root: Root): number {
  if (!CONVOLUTIONS.has(entry.dispatch.shader) || hasLargeTile(entry)) return -1;
  for (let at = fused.length - 1; at >= 0 && independent(fused[at]!, entry, root); at--) {
    if (fused[at]!.dispatch.shader === entry.dispatch.shader) return at;
  }
  return -1;
}

const hasLargeTile = ({ dispatch }: Entry): boolean =>
  partsOf(dispatch).some(({ shader, constants }) => CONVOLUTIONS.has(shader) && constants.KERNEL !== 1);

/** As many sums as fit beside the kernel of backward-weights that stands last. */
function addSums(fused: Entry[], waiting: Entry[], root: Root): void {
  const last = fused.at(-1);
  if (last?.dispatch.shader !== 'conv2d_backward_weights') return;
  const left = waiting.splice(0);
  for (const sum of left) {
    const both = join(fused.at(-1)!, sum, root);
    if (both) fused[fused.length - 1] = both;
    else waiting.push(sum);
  }
}

function entryOf(dispatch: Dispatch<Tensor>): Entry {
  const demands = demandsOf(select(dispatch));
  const which = (written: boolean) => dispatch.bindings.filter((_, i) => demands.writes[i] === written);
  return { dispatch, demands, reads: which(false), writes: which(true) };
}

/** Whether neither needs what the other makes, and WebGPU allows both in one dispatch: it reads or writes a buffer. */
function independent(a: Entry, b: Entry, root: Root): boolean {
  const conflict = (writes: readonly Tensor[], reads: readonly Tensor[]) =>
    writes.some((w) => reads.some((r) => root(w).base === root(r).base));
  const same = a.writes.some((w) => b.writes.some((v) => root(w).base === root(v).base && !disjoint(w, v, root)));
  return !same && !conflict(a.writes, b.reads) && !conflict(b.writes, a.reads);
}

/** Whether their order makes no difference. */
function commute(a: Entry, b: Entry, root: Root): boolean {
  const conflict = (writes: readonly Tensor[], others: readonly Tensor[]) =>
    writes.some((w) => others.some((r) => root(w).base === root(r).base && !disjoint(w, r, root)));
  return !conflict(a.writes, [...b.reads, ...b.writes]) && !conflict(b.writes, a.reads);
}

function disjoint(a: Tensor, b: Tensor, root: Root): boolean {
  const [first, second] = root(a).offset < root(b).offset ? [a, b] : [b, a];
  return root(first).offset + sizeOf(first.shape) <= root(second).offset;
}

function join(a: Entry, b: Entry, root: Root): Entry | undefined {
  const demands: Demands = {
    workgroup: a.demands.workgroup,
    writes: [...a.demands.writes, ...b.demands.writes],
    storageBuffers: a.demands.storageBuffers + b.demands.storageBuffers,
    uniformBuffers: a.demands.uniformBuffers + b.demands.uniformBuffers,
    memory: together(a.demands.memory, b.demands.memory),
  };
  const fits =
    a.demands.workgroup === b.demands.workgroup &&
    demands.storageBuffers <= MAX_STORAGE_BUFFERS &&
    demands.uniformBuffers <= MAX_UNIFORM_BUFFERS &&
    memoryBytes(demands.memory) <= MAX_WORKGROUP_MEMORY;
  if (!fits || !independent(a, b, root)) return undefined;
  const parts = [...partsOf(a.dispatch), ...partsOf(b.dispatch)].map(({ shader, constants, uniforms, workgroups }) => ({
    shader,
    constants,
    ...(uniforms && { uniforms }),
    workgroups,
  }));
  const groups = parts.reduce((sum, { workgroups: [x, y, z] }) => sum + x * y * z, 0);
  if (groups > MAX_WORKGROUPS) return undefined;
  return {
    dispatch: {
      shader: a.dispatch.shader,
      constants: {},
      parts,
      bindings: [...a.dispatch.bindings, ...b.dispatch.bindings],
      workgroups: [groups, 1, 1],
    },
    demands,
    reads: [...a.reads, ...b.reads],
    writes: [...a.writes, ...b.writes],
  };
}

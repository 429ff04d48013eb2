import { ShapeError } from '../errors.js';
import type { GradientReduction } from '../kernels/conv2d.js';
import type { DeviceTraits, Dispatch, SubgroupMatrices } from '../kernels/dispatch.js';

export type Shape = readonly number[];
export type DType = 'f32' | 'u32';

/** A value in a graph: what it is, not where it lies. An element takes four bytes, but for activations that are float16 (see {@link isHalf}). */
export interface Tensor {
  readonly graph: Graph;
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
  /** The node that makes it; none for inputs and views. */
  readonly node?: Node;
  /** For a view: the tensor it is a part of, and where it starts, in elements. */
  readonly view?: { readonly base: Tensor; readonly offset: number };
}

/** One use of an op. */
export interface Node<A = unknown> {
  readonly op: Op<A>;
  readonly attributes: A;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
}

/** A gradient where there is one. */
export type Gradient = Tensor | undefined;

/** What of a device decides which kernels an op becomes. */
export interface LoweringOptions extends DeviceTraits {
  /** Activations and their gradients are stored as float16, where their channels are a multiple of 4. */
  readonly float16?: boolean | undefined;
  /** Convolutions of what is stored so multiply on matrix units; all else is computed in float32. */
  readonly matrices?: SubgroupMatrices | undefined;
}

/** An entry of the op table: all that the graph knows about an operation. */
export interface Op<A> {
  readonly name: string;
  /** The shape rule: shapes of the outputs, from those of the inputs. Throws ShapeError where they do not fit. */
  outputs(inputs: readonly Tensor[], attributes: A): readonly Shape[];
  /** The kernels that compute it. `scratch` makes a tensor that lives as long as they run. */
  lower(node: Node<A>, scratch: (shape: Shape) => Tensor, options: LoweringOptions): readonly Dispatch<Tensor>[];
  /**
   * Vector-Jacobian product: from the gradients of the outputs, those of the inputs for which `needed` is set, as new nodes.
   * What it reads of the forward pass is what the op saves. An op without one cannot be differentiated.
   */
  vjp?(node: Node<A>, gradients: readonly Gradient[], needed: readonly boolean[]): readonly Gradient[];
  /** For ops that a vjp adds: amend the node to add `addend` to its first output as it is stored; false where it cannot. */
  plus?(node: Node<A>, addend: Tensor): boolean;
  /** Amend the node to make, as it stores its first output, what batch norm in training needs of it (`batchNormPartials`). */
  statistics?(node: Node<A>): Tensor;
  /** Amend the node likewise for the backward pass of that batch norm (`batchNormBackwardPartials`), where it can. */
  gradientSums?(node: Node<A>, batchNorm: GradientReduction<Tensor>): Tensor | undefined;
  /** How many chunks there are in what `statistics` and `gradientSums` give, where a device decides: at most as their shapes say. */
  chunks?(node: Node<A>, options: LoweringOptions): number;
  /** Its kernels can read and write activations as float16: so many of its first outputs are such. */
  readonly float16?: number;
  /** It changes one of its inputs, so it is kept though nobody reads its outputs. */
  readonly effect?: true;
}

/** How many elements a shape has. */
export const sizeOf = (shape: Shape): number => shape.reduce((product, n) => product * n, 1);

/** Whether a tensor is stored as float16. */
export function isHalf(tensor: Tensor, { float16 = false }: LoweringOptions): boolean {
  const { node, shape } = tensor;
  const place = node?.outputs.indexOf(tensor) ?? -1;
  return float16 && place >= 0 && place < (node!.op.float16 ?? 0) && shape.at(-1)! % 4 === 0;
}

/**
 * Whether tensors that a kernel takes for one type, such as an output and what is added to it, are stored as float16.
 * @throws ShapeError where some are and some are not
 */
export function areHalf(
  op: string,
  [like, ...others]: readonly [Tensor, ...(Tensor | undefined)[]],
  options: LoweringOptions,
): boolean {
  const half = isHalf(like, options);
  const odd = others.find((other) => other && isHalf(other, options) !== half);
  if (!odd) return half;
  const [single, double] = half ? [like, odd] : [odd, like];
  throw new ShapeError(
    `${op}: ${single.name} is float16, but ${double.name} float32: compile this graph without float16`,
  );
}

/** Bytes of a tensor's memory. */
export const bytesOf = (tensor: Tensor, options: LoweringOptions): number =>
  sizeOf(tensor.shape) * (isHalf(tensor, options) ? 2 : 4);

/** `64x32x32x16`, for messages. */
export const showShape = (shape: Shape): string => (shape.length ? shape.join('x') : 'scalar');

/**
 * A fixed computation, declared once: inputs, and nodes in the order they were added (which is a topological order).
 * Nothing runs until it is compiled (see `compile`).
 */
export class Graph {
  readonly nodes: Node[] = [];
  readonly inputs: Tensor[] = [];

  /** A tensor that is filled, or bound to a buffer, from outside. */
  input(name: string, shape: Shape, dtype: DType = 'f32'): Tensor {
    const tensor: Tensor = { graph: this, name, shape, dtype };
    this.inputs.push(tensor);
    return tensor;
  }

  /** A part of `base`, starting at element `offset` (a multiple of {@link VIEW_ALIGNMENT}). Reading or writing it is reading or writing `base`. */
  view(base: Tensor, name: string, offset: number, shape: Shape): Tensor {
    if (offset % VIEW_ALIGNMENT !== 0 || offset + sizeOf(shape) > sizeOf(base.shape)) {
      throw new ShapeError(
        `view ${name}: ${showShape(shape)} at element ${offset} does not lie, aligned to ${VIEW_ALIGNMENT}, in ${base.name} of ${showShape(base.shape)}`,
      );
    }
    return { graph: this, name, shape, dtype: base.dtype, view: { base, offset } };
  }

  /** Add a use of an op. */
  apply<A>(op: Op<A>, inputs: readonly Tensor[], attributes: A): readonly Tensor[] {
    for (const input of inputs) {
      if (input.graph !== this) throw new ShapeError(`${op.name}: ${input.name} belongs to another graph`);
    }
    const shapes = op.outputs(inputs, attributes);
    const outputs: Tensor[] = [];
    const node: Node<A> = { op, attributes, inputs, outputs };
    for (const shape of shapes) {
      outputs.push({ graph: this, name: `${op.name}#${this.nodes.length}`, shape, dtype: 'f32', node: node as Node });
    }
    this.nodes.push(node as Node);
    return outputs;
  }

  /**
   * Have a node do more than it was made for: take further inputs, which must be older than it, and attributes.
   * @param output the shape of a further output
   * @returns that output
   */
  amend<A>(node: Node<A>, change: { inputs?: readonly Tensor[]; attributes?: Partial<A> }, output?: Shape): Tensor {
    const amended = node as { -readonly [K in keyof Node<A>]: Node<A>[K] };
    amended.inputs = [...node.inputs, ...(change.inputs ?? [])];
    amended.attributes = { ...node.attributes, ...change.attributes };
    if (!output) return node.outputs[0]!;
    const { name } = node.outputs[0]!;
    const tensor: Tensor = { graph: this, name: `${name} reduced`, shape: output, dtype: 'f32', node: node as Node };
    amended.outputs = [...node.outputs, tensor];
    return tensor;
  }

  /** Whether a node of `a` runs after that of `b`, an input before all. */
  isAfter(a: Tensor, b: Tensor): boolean {
    const place = ({ node }: Tensor) => (node ? this.nodes.indexOf(node) : -1);
    return place(a) > place(b);
  }
}

/** Views start at multiples of this many elements: 256 bytes, the coarsest minStorageBufferOffsetAlignment there is. */
export const VIEW_ALIGNMENT = 64;

/** Refuse a tensor whose shape is not `expected` (-1: any size). */
export function requireShape(op: string, what: string, tensor: Tensor, expected: Shape): void {
  const fits = tensor.shape.length === expected.length && expected.every((n, i) => n === -1 || n === tensor.shape[i]);
  if (!fits) {
    const wanted = expected.map((n) => (n === -1 ? '*' : n)).join('x');
    throw new ShapeError(`${op}: ${what} ${tensor.name} is ${showShape(tensor.shape)}, but ${wanted} is needed`);
  }
}

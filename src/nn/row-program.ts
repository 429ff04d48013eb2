import type { Engine } from '../gpu/engine.js';
import { Graph, type Tensor } from '../graph/graph.js';
import { add, clip } from '../graph/ops/elementwise.js';
import { nearestMeanResidual } from '../graph/ops/input-step.js';
import { matmul } from '../graph/ops/matmul.js';
import { exponentials, generalisedEntropy, largest, prune, rowSquares, unitRows } from '../graph/ops/rows.js';
import { Program } from '../graph/program.js';
import type { ImageRows, Reduction, Rows } from '../ood/rows.js';

/** What is known of N images on the host, row-major. */
export interface HostRows {
  /** [N, classes] */
  readonly logits: Float32Array;
  /** [N, size] */
  readonly features: Float32Array;
  /** N class numbers */
  readonly labels?: ArrayLike<number> | undefined;
}

/** Images a run: what a run's tensors take stays far below a binding's limit. */
const CHUNK = 1024;
/** Points that products are made with at once. */
const POINTS = 4096;
/** A submit's dispatches, each of at most {@link POINTS} points: some operating systems reset a GPU that works at one for two seconds. */
const DISPATCHES = 8;

/** A {@link Reduction} compiled for the GPU, in float32: chunks of images go through it one after the other. */
export class RowProgram {
  private readonly program: Program;
  private readonly graph: ChunkGraph;
  private readonly outputs: readonly Tensor[];

  private constructor(program: Program, graph: ChunkGraph, outputs: readonly Tensor[]) {
    this.program = program;
    this.graph = graph;
    this.outputs = outputs;
  }

  /** @param shape.count the most images that will be given at once */
  static async compile(
    engine: Engine,
    shape: { count: number; classes: number; size: number },
    reduction: Reduction,
  ): Promise<RowProgram> {
    const graph = new ChunkGraph({ ...shape, count: Math.min(CHUNK, shape.count) });
    const outputs = reduction(graph.images).map((rows) => (rows as GraphRows).tensor);
    const program = await Program.compile(engine, graph.graph, outputs);
    try {
      for (const [tensor, data] of graph.constants) program.write(tensor, data);
    } catch (error) {
      program.destroy();
      throw error;
    }
    // They are on the device now; a bank of neighbours is large.
    graph.constants.clear();
    return new RowProgram(program, graph, outputs);
  }

  /** The reduction's rows of all images. */
  async each(rows: HostRows, signal?: AbortSignal): Promise<Float64Array[]> {
    const count = rows.logits.length / this.graph.classes;
    const results = this.outputs.map(({ shape }) => new Float64Array(count * shape[1]!));
    await this.run(rows, count, signal, (values, start, images) => {
      values.forEach((value, i) => {
        const columns = this.outputs[i]!.shape[1]!;
        results[i]!.set(value.subarray(0, images * columns), start * columns);
      });
    });
    return results;
  }

  /** The sums over all images: of chunks in float32, of the chunks' sums in float64. */
  async sum(rows: HostRows, signal?: AbortSignal): Promise<Float64Array[]> {
    const count = rows.logits.length / this.graph.classes;
    const sums = this.outputs.map(({ shape }) => new Float64Array(shape[0]! * shape[1]!));
    await this.run(rows, count, signal, (values) => {
      values.forEach((value, i) => {
        const sum = sums[i]!;
        for (let at = 0; at < sum.length; at++) sum[at]! += value[at]!;
      });
    });
    return sums;
  }

  private async run(
    rows: HostRows,
    total: number,
    signal: AbortSignal | undefined,
    take: (values: Float32Array[], start: number, count: number) => void,
  ): Promise<void> {
    let under: Promise<void> = Promise.resolve();
    for (let start = 0; start < total; start += this.graph.count) {
      signal?.throwIfAborted();
      const count = Math.min(this.graph.count, total - start);
      for (const [tensor, data] of this.graph.chunk(rows, start, count)) this.program.write(tensor, data);
      this.program.run(DISPATCHES);
      const taken = this.program.read(...this.outputs).then((values) => take(values, start, count));
      taken.catch(() => {});
      // One chunk is queued behind the one that the device works at.
      await under;
      under = taken;
    }
    await under;
  }

  destroy(): void {
    this.program.destroy();
  }
}

/** The graph of a reduction of one chunk, while it is declared: inputs as they are asked for, and constants. */
class ChunkGraph {
  readonly graph = new Graph();
  readonly count: number;
  readonly classes: number;
  readonly constants = new Map<Tensor, Float32Array>();
  readonly images: ImageRows;
  private readonly inputs = new Map<string, { tensor: Tensor; fill: Fill }>();

  constructor({ count, classes, size }: { count: number; classes: number; size: number }) {
    this.count = count;
    this.classes = classes;
    const rowsOf = (name: string, columns: number, fill: Fill) => new GraphRows(this, this.input(name, columns, fill));
    this.images = {
      get logits() {
        return rowsOf('logits', classes, copied('logits', classes));
      },
      get features() {
        return rowsOf('features', size, copied('features', size));
      },
      get labels() {
        return rowsOf('labels', classes, (to, { labels }, start, count) => {
          for (let n = 0; n < count; n++) to[n * classes + labels![start + n]!] = 1;
        });
      },
    };
  }

  private input(name: string, columns: number, fill: Fill): Tensor {
    const known = this.inputs.get(name);
    if (known) return known.tensor;
    const tensor = this.graph.input(name, [this.count, columns]);
    this.inputs.set(name, { tensor, fill });
    return tensor;
  }

  constant(name: string, shape: readonly number[], data: ArrayLike<number>): Tensor {
    const tensor = this.graph.input(name, shape);
    this.constants.set(tensor, data instanceof Float32Array ? data : Float32Array.from(data));
    return tensor;
  }

  /** A vector at each row that is an image's; where a chunk has fewer images than rows, those left over stay zero, and add nothing to sums. */
  repeated(vector: Float64Array): Tensor {
    const ones = this.input('ones', 1, (to, _, __, count) => to.fill(1, 0, count));
    return matmul(ones, this.constant('vector', [1, vector.length], vector));
  }

  /** What the inputs hold for `count` images from `start` on; zeros in the rows after them. */
  *chunk(rows: HostRows, start: number, count: number): Iterable<[Tensor, Float32Array]> {
    for (const { tensor, fill } of this.inputs.values()) {
      const data = new Float32Array(this.count * tensor.shape[1]!);
      fill(data, rows, start, count);
      yield [tensor, data];
    }
  }
}

/** Writes an input's rows of `count` images from `start` on. */
type Fill = (to: Float32Array, rows: HostRows, start: number, count: number) => void;

const copied =
  (name: 'logits' | 'features', columns: number): Fill =>
  (to, rows, start, count) =>
    to.set(rows[name].subarray(start * columns, (start + count) * columns));

/** Rows of a chunk, as a tensor [rows, columns] of its graph. */
class GraphRows implements Rows {
  readonly tensor: Tensor;
  private readonly chunk: ChunkGraph;

  constructor(chunk: ChunkGraph, tensor: Tensor) {
    this.chunk = chunk;
    this.tensor = tensor;
  }

  get columns(): number {
    return this.tensor.shape[1]!;
  }

  private of(tensor: Tensor): GraphRows {
    return new GraphRows(this.chunk, tensor);
  }

  plus(other: Float64Array | Rows): Rows {
    const addend = other instanceof GraphRows ? other.tensor : this.chunk.repeated(other as Float64Array);
    return this.of(add(this.tensor, addend));
  }

  times(matrix: Float64Array, bias?: Float64Array): Rows {
    const columns = matrix.length / this.columns;
    return this.of(
      matmul(this.tensor, this.chunk.constant('matrix', [this.columns, columns], matrix), {
        bias: bias && this.chunk.constant('bias', [columns], bias),
      }),
    );
  }

  cross(other: Rows): Rows {
    return this.of(matmul(this.tensor, (other as GraphRows).tensor, { transposeA: true }));
  }

  clip(most: number): Rows {
    return this.of(clip(this.tensor, this.chunk.constant('most', [1], [most])));
  }

  prune(kept: number): Rows {
    return this.of(prune(this.tensor, kept));
  }

  unit(): Rows {
    return this.of(unitRows(this.tensor));
  }

  squares(): Rows {
    return this.of(rowSquares(this.tensor));
  }

  fromNearest(points: Float64Array): Rows {
    const shape = [points.length / this.columns, this.columns];
    return this.of(nearestMeanResidual(this.tensor, this.chunk.constant('points', shape, points)));
  }

  kthProduct(points: Float64Array | Float32Array, k: number): Rows {
    const size = this.columns;
    const total = points.length / size;
    const width = Math.min(POINTS, Math.ceil(total / 4) * 4);
    let top: Tensor | undefined;
    for (let first = 0; first < total; first += width) {
      const columns = Math.min(width, total - first);
      // Transposed, as the product runs along vectors of points; columns left over are not looked at.
      const data = new Float32Array(size * width);
      for (let m = 0; m < columns; m++) {
        for (let i = 0; i < size; i++) data[i * width + m] = points[(first + m) * size + i]!;
      }
      const products = matmul(this.tensor, this.chunk.constant('points', [size, width], data));
      top = largest(products, k, { columns, previous: top, stored: first + width < total ? k : 1 });
    }
    return this.of(top!);
  }

  exponentials(temperature: number): Rows {
    return this.of(exponentials(this.tensor, temperature));
  }

  generalisedEntropy(gamma: number, count: number): Rows {
    return this.of(generalisedEntropy(this.tensor, { gamma, count }));
  }
}

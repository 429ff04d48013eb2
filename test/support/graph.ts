import type { Graph, Tensor } from '../../src/graph/graph.js';
import { Program } from '../../src/graph/program.js';
import { type Data, engine } from './gpu.js';

/** Compile, fill the inputs, run once, read `outputs`, free. */
export async function runGraph(
  graph: Graph,
  inputs: ReadonlyMap<Tensor, Data>,
  outputs: readonly Tensor[],
): Promise<Float32Array[]> {
  const program = await Program.compile(engine, graph, outputs);
  try {
    for (const [tensor, data] of inputs) program.write(tensor, data);
    program.run();
    return await program.read(...outputs);
  } finally {
    program.destroy();
  }
}

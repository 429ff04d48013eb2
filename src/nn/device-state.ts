import type { Buffers } from '../gpu/buffers.js';
import type { Storage } from '../gpu/engine.js';
import type { Graph, Tensor } from '../graph/graph.js';
import { Arena } from './arena.js';
import { type Network, stateShapes, type Values, type WideResNetConfig } from './network.js';
import { type StateTensors, stateNames, toEngineLayout, toPyTorchLayout } from './wide-resnet.js';

/** How a network's state is laid out on the GPU: parameters in one arena, running statistics in another. */
export interface StateLayout {
  readonly parameters: Arena;
  readonly statistics: Arena;
}

/** The arenas of a network of this size. */
export function stateLayout(config: WideResNetConfig): StateLayout {
  const shapes = stateShapes(config);
  const arena = (names: string[]) =>
    new Arena(
      names.map((name) => {
        const shape = shapes.get(name)!;
        return [name, shape.length === 4 ? [shape[2]!, shape[3]!, shape[1]!, shape[0]!] : shape] as const;
      }),
    );
  const { parameters, statistics } = stateNames(config);
  return { parameters: arena(parameters), statistics: arena(statistics) };
}

/** Lay tensors (in PyTorch's layouts) out as an arena's contents. */
export function packArena(arena: Arena, tensors: ReadonlyMap<string, Values>): Float32Array<ArrayBuffer> {
  const data = new Float32Array(arena.size);
  for (const name of arena.entries.keys()) arena.slice(data, name).set(toEngineLayout(tensors.get(name)!).data);
  return data;
}

/** The tensors (in PyTorch's layouts) of an arena's contents. */
export function unpackArena(arena: Arena, data: Float32Array): Map<string, Values> {
  return new Map(
    [...arena.entries].map(([name, { shape }]) => [
      name,
      toPyTorchLayout({ shape, data: arena.slice(data, name).slice() }),
    ]),
  );
}

/** The two arenas as inputs of a graph, and each state tensor as a view of one. */
export function stateInputs(
  graph: Graph,
  layout: StateLayout,
): { parameters: Tensor; statistics: Tensor; state: StateTensors } {
  const parameters = graph.input('parameters', [layout.parameters.size]);
  const statistics = graph.input('running statistics', [layout.statistics.size]);
  const views = new Map<string, Tensor>();
  for (const [arena, base] of [
    [layout.parameters, parameters],
    [layout.statistics, statistics],
  ] as const) {
    for (const [name, { shape, offset }] of arena.entries) views.set(name, graph.view(base, name, offset, shape));
  }
  return { parameters, statistics, state: (name) => views.get(name)! };
}

/** A network's state on the GPU. */
export interface DeviceState {
  readonly parameters: Storage;
  readonly statistics: Storage;
}

/** Upload a network's state. */
export function uploadState(buffers: Buffers, layout: StateLayout, network: Network): DeviceState {
  return {
    parameters: buffers.upload('parameters', packArena(layout.parameters, network.state)),
    statistics: buffers.upload('running statistics', packArena(layout.statistics, network.state)),
  };
}

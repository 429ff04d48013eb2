import { type Dispatch, grid, LANES, largestDivisor, type ShaderName, WORKGROUP } from './dispatch.js';

/**
 * Which part of a kernel's results an invocation computes in registers. Each result is added up in one order whatever the
 * tile, so every tile gives the same bits; which is the fastest depends on the device.
 */
export type Tile = Readonly<Record<string, number>>;

/** A kernel's constants, with 1 for true and 0 for false. */
type Constants = Readonly<Record<string, number>>;

/** How the kernels of a shader are tiled. */
interface Tiling {
  /** Its tile on every device, where nobody chooses. */
  fixed(constants: Constants): Tile;
  /** Tiles that may be faster on some, of which a kernel can have those that it `allows`. */
  readonly others: readonly Tile[];
  allows(constants: Constants, tile: Tile): boolean;
  /** Constants and workgroups that follow from a tile. */
  tiled(
    constants: Constants,
    tile: Tile,
  ): { constants: Dispatch<unknown>['constants']; workgroups: readonly [number, number, number] };
}

const vectors = ({ OUT_C, OUT_WIDTH = 4 }: Constants) => OUT_C! / OUT_WIDTH;

/** As many vectors of output channels as divide them and stay in registers. */
const columnsOf = (constants: Constants) => largestDivisor(vectors(constants), [4, 2]);

/** Pixels of an invocation where values are reduced as they are stored, by workgroups: so there is no choice of these. */
export const REDUCED_PIXELS = 4;

/** `pixels` adjacent ones of a row, of which `block` are accumulated at a time, by `columns` vectors of channels. */
const conv2d: Tiling = {
  // Large tiles amortise the loads of activations, which are the slow ones.
  fixed: (constants) => ({ pixels: REDUCED_PIXELS, block: 2, columns: columnsOf(constants) }),
  others: [
    { pixels: 8, block: 2, columns: 4 },
    { pixels: 8, block: 2, columns: 2 },
    { pixels: 4, block: 4, columns: 4 },
    { pixels: 4, block: 4, columns: 2 },
    { pixels: 4, block: 2, columns: 1 },
  ],
  allows: (constants, { pixels, columns }) =>
    vectors(constants) % columns! === 0 && (pixels === REDUCED_PIXELS || !constants.REDUCE),
  tiled: (c, { pixels, block, columns }) => ({
    constants: {
      PIXELS: pixels!,
      BLOCK: block!,
      BLOCKS: pixels! / block!,
      COLUMNS: columns!,
      WINDOW: c.BACKWARD ? pixels! + c.TAPS! - 1 : (pixels! - 1) * c.STRIDE! + c.KERNEL!,
      HELD: Math.ceil((c.TAPS! * c.TAP! * columns!) / LANES),
      REDUCED: WORKGROUP * columns! * 2,
    },
    workgroups: [
      Math.ceil((c.BATCH! * c.GRID_H! * Math.ceil(c.GRID_W! / pixels!)) / WORKGROUP),
      vectors(c) / columns!,
      c.BACKWARD ? c.STRIDE! ** 2 : 1,
    ],
  }),
};

/** All taps of a filter row and input vector by `columns` vectors of channels, taking `run` output pixels at a time. */
const backwardWeights: Tiling = {
  fixed: (constants) => ({ run: 4, columns: columnsOf(constants) }),
  others: [
    { run: 8, columns: 4 },
    { run: 4, columns: 2 },
    { run: 4, columns: 1 },
    { run: 2, columns: 4 },
  ],
  allows: (constants, { columns }) => vectors(constants) % columns! === 0,
  tiled: (c, { run, columns }) => ({
    constants: {
      RUN: run!,
      COLUMNS: columns!,
      WINDOW: (run! - 1) * c.STRIDE! + c.KERNEL!,
      HELD: Math.ceil((run! * columns!) / LANES),
    },
    workgroups: grid(c.UNIT! * (vectors(c) / columns!) * c.SPLITS!),
  }),
};

/** `rows` by `columns` vectors. */
const matmul: Tiling = {
  // Large tiles where there are enough of them to fill a device.
  fixed: ({ M, N }) => (M! >= 256 && N! >= 256 ? { rows: 8, columns: 4 } : { rows: 2, columns: 1 }),
  others: [
    { rows: 8, columns: 4 },
    { rows: 4, columns: 8 },
    { rows: 4, columns: 4 },
    { rows: 8, columns: 2 },
    { rows: 2, columns: 1 },
  ],
  allows: () => true,
  tiled: (c, { rows, columns }) => ({
    constants: { ROWS: rows!, COLUMNS: columns!, HELD: Math.ceil((c.IN_WIDTH! * columns!) / LANES) },
    workgroups: [Math.ceil(c.M! / (rows! * WORKGROUP)), Math.ceil(c.N! / c.OUT_WIDTH! / columns!), 1],
  }),
};

/** Bytes of workgroup memory of a tile: so little that a GPU's core holds several workgroups. */
const MOST_SHARED = 8704;

/** Workgroups that keep a large GPU busy. */
const ENOUGH_WORKGROUPS = 512;

/** Invocations along the vectors, where each computes `columns` of them. */
const acrossOf = (constants: Constants, columns: number) => largestDivisor(vectors(constants) / columns, [8, 4, 2]);

/** Constants of tile_products: `quads` by `columns` vectors an invocation, `depth` terms at a time. */
function sharedConstants(constants: Constants, { quads, columns, depth }: Tile) {
  const across = acrossOf(constants, columns!);
  const down = WORKGROUP / across;
  return {
    DEPTH: depth!,
    ACROSS: across,
    DOWN: down,
    QUADS: quads!,
    COLUMNS: columns!,
    TILE_QUADS: down * quads!,
    TILE_VECS: across * columns!,
    TILE: depth! * (down * quads! + across * columns!),
  };
}

/** What invocations lay into workgroup memory, of `a` and `b` units in all. */
const units = (a: number, b: number) => ({
  A_UNITS: Math.ceil(a / WORKGROUP),
  A_WHOLE: a % WORKGROUP === 0,
  B_UNITS: Math.ceil(b / WORKGROUP),
  B_WHOLE: b % WORKGROUP === 0,
});

/** The most terms at a time, of those that `fit`, for which there is memory. */
function sharedTile(constants: Constants, { quads, columns }: Tile, fit: (depth: number) => boolean): Tile {
  const tileOf = (depth: number): Tile => ({ quads: quads!, columns: columns!, depth });
  const bytes = (depth: number) => sharedConstants(constants, tileOf(depth)).TILE * 16;
  return tileOf([16, 8].find((depth) => fit(depth) && bytes(depth) <= MOST_SHARED) ?? 4);
}

const LARGE: Tile = { quads: 2, columns: 2 };
const NARROW: Tile = { quads: 2, columns: 1 };
const SMALL: Tile = { quads: 1, columns: 1 };
const SHAPES = [LARGE, NARROW, { quads: 1, columns: 2 }, SMALL];

const conv2dTiled: Tiling = {
  fixed(c) {
    const large = vectors(c) % 2 === 0 ? LARGE : NARROW;
    const [x, y, z] = conv2dTiled.tiled(c, { ...large, depth: 4 }).workgroups;
    return sharedTile(c, x * y * z < ENOUGH_WORKGROUPS ? SMALL : large, (depth) => c.IN_C! % depth === 0);
  },
  others: SHAPES.flatMap((shape) => [4, 8, 16].map((depth) => ({ ...shape, depth }))),
  allows(c, choice) {
    const { TILE, TILE_QUADS } = sharedConstants(c, choice);
    const same = !c.REDUCE || TILE_QUADS === sharedConstants(c, conv2dTiled.fixed(c)).TILE_QUADS;
    return same && vectors(c) % choice.columns! === 0 && c.IN_C! % choice.depth! === 0 && TILE * 16 <= MOST_SHARED;
  },
  tiled(c, choice) {
    const shared = sharedConstants(c, choice);
    const { DEPTH, TILE_QUADS, TILE_VECS } = shared;
    const quads = c.BATCH! * c.GRID_H! * Math.ceil(c.GRID_W! / 4);
    const reduced = c.REDUCE ? 2 * WORKGROUP * choice.columns! : 0;
    return {
      constants: {
        ...shared,
        TILE: Math.max(shared.TILE, reduced),
        ...units((TILE_QUADS * DEPTH) / 4, TILE_VECS * (c.BACKWARD ? DEPTH / 4 : DEPTH)),
      },
      workgroups: [Math.ceil(quads / TILE_QUADS), vectors(c) / TILE_VECS, c.BACKWARD ? c.STRIDE! ** 2 : 1],
    };
  },
};

const backwardWeightsTiled: Tiling = {
  fixed: (c) => sharedTile(c, vectors(c) % 2 === 0 ? LARGE : NARROW, (depth) => c.OUT_W! % depth === 0),
  others: SHAPES.flatMap((shape) => [4, 8, 16].map((depth) => ({ ...shape, depth }))),
  allows: (c, choice) => vectors(c) % choice.columns! === 0 && sharedConstants(c, choice).TILE * 16 <= MOST_SHARED,
  tiled(c, choice) {
    const shared = sharedConstants(c, choice);
    const { DEPTH, TILE_QUADS, TILE_VECS } = shared;
    const quads = (c.KERNEL! ** 2 * c.IN_C!) / 4;
    return {
      constants: { ...shared, ...units(TILE_QUADS * DEPTH, TILE_VECS * DEPTH) },
      workgroups: [Math.ceil(quads / TILE_QUADS), vectors(c) / TILE_VECS, c.SPLITS!],
    };
  },
};

const TILINGS: { readonly [S in ShaderName]?: Tiling } = {
  conv2d,
  conv2d_tiled: conv2dTiled,
  conv2d_backward_weights: backwardWeights,
  conv2d_backward_weights_tiled: backwardWeightsTiled,
  matmul,
};

const constantsOf = ({ constants }: Pick<Dispatch<unknown>, 'constants'>): Constants =>
  Object.fromEntries(Object.entries(constants).map(([name, value]) => [name, Number(value)]));

/** The dispatch of a kernel whose constants lack what its tile decides. Without a tile, the fixed one is taken. */
export function tile<B>(kernel: Omit<Dispatch<B>, 'workgroups'>, chosen?: Tile): Dispatch<B> {
  const tiling = TILINGS[kernel.shader]!;
  const constants = constantsOf(kernel);
  const { constants: added, workgroups } = tiling.tiled(constants, chosen ?? tiling.fixed(constants));
  return { ...kernel, constants: { ...kernel.constants, ...added }, workgroups };
}

/** The tiles that a dispatch may have, its fixed one first; none where there is no choice. */
export function tilesFor(dispatch: Dispatch<unknown>): readonly Tile[] {
  const tiling = TILINGS[dispatch.shader];
  if (!tiling) return [];
  const constants = constantsOf(dispatch);
  const fixed = tiling.fixed(constants);
  const same = (a: Tile) => Object.entries(a).every(([name, value]) => fixed[name] === value);
  return [fixed, ...tiling.others.filter((other) => tiling.allows(constants, other) && !same(other))];
}

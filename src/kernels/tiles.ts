import { type Dispatch, grid, largestDivisor, type ShaderName, WORKGROUP } from './dispatch.js';

/**
 * Which part of a kernel's results an invocation computes in registers. Each result is added up in one order whatever the
 * tile, so every tile gives the same bits; which is the fastest depends on the device.
 */
export type Tile = Readonly<Record<string, number>>;

/** A kernel's constants, with 1 for true and 0 for false. */
type Constants = Readonly<Record<string, number>>;

/** How the kernels of a shader are tiled. */
interface Tiling {
  /** Its tile where nobody chooses: of its constants alone, so the same on all devices for which a kernel is written alike. */
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

/** Into how many runs of so many pixels the rows of a convolution fall. */
const runs = ({ BATCH, GRID_H, GRID_W }: Constants, pixels: number) => BATCH! * GRID_H! * Math.ceil(GRID_W! / pixels);

/**
 * Pixels of an invocation. SwiftShader reads weights more slowly than it multiplies them, so it takes more, where that leaves a whole
 * workgroup something to do; with more than 8, its code of the innermost loop no longer fits a core's cache.
 */
const pixelsOf = (constants: Constants): number =>
  constants.QUADS && constants.GRID_W! >= 8 && runs(constants, 8) >= WORKGROUP ? 8 : 4;

/** `pixels` adjacent ones of a row, of which `block` are accumulated at a time, by `columns` vectors of channels. */
const conv2d: Tiling = {
  // Large tiles amortise the loads of activations, which are the slow ones.
  fixed(constants) {
    const pixels = pixelsOf(constants);
    return { pixels, block: constants.QUADS ? pixels : 2, columns: columnsOf(constants) };
  },
  others: [
    { pixels: 8, block: 2, columns: 4 },
    { pixels: 8, block: 2, columns: 2 },
    { pixels: 4, block: 4, columns: 4 },
    { pixels: 4, block: 4, columns: 2 },
    { pixels: 4, block: 2, columns: 1 },
  ],
  // Where values are reduced as they are stored, by chunks of pixels, there is no choice of these.
  allows: (constants, { pixels, columns }) =>
    vectors(constants) % columns! === 0 && (pixels === pixelsOf(constants) || !constants.REDUCE),
  tiled: (c, { pixels, block, columns }) => ({
    constants: {
      PIXELS: pixels!,
      BLOCK: block!,
      BLOCKS: pixels! / block!,
      COLUMNS: columns!,
      WINDOW: c.BACKWARD ? pixels! + c.TAPS! - 1 : (pixels! - 1) * c.STRIDE! + c.KERNEL!,
      HELD: Math.ceil((c.TAPS! * c.TAP! * columns!) / c.LANES!),
      CHUNKS: Math.ceil(runs(c, pixels!) / (c.QUADS ? c.LANES! : WORKGROUP)),
      REDUCED: WORKGROUP * columns! * (c.OUT_WIDTH ?? 4) * 2,
    },
    workgroups: [Math.ceil(runs(c, pixels!) / WORKGROUP), vectors(c) / columns!, c.BACKWARD ? c.STRIDE! ** 2 : 1],
  }),
};

/** All taps of a filter row and input vector by `columns` vectors of channels, taking `run` output pixels at a time. */
const backwardWeights: Tiling = {
  fixed: (constants) => ({ run: constants.LANES === 4 ? 2 : 4, columns: columnsOf(constants) }),
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
      HELD: Math.ceil((run! * columns!) / c.LANES!),
    },
    workgroups: grid(c.UNIT! * (vectors(c) / columns!) * c.SPLITS!),
  }),
};

/** `rows` by `columns` vectors. */
const matmul: Tiling = {
  // Large tiles where there are enough of them to fill a device.
  fixed({ M, N, LANES, TRANSPOSE_B }) {
    if (M! < 256 || N! < 256) return { rows: 2, columns: 1 };
    if (LANES === 4) return TRANSPOSE_B ? { rows: 8, columns: 8 } : { rows: 4, columns: 4 };
    return { rows: 4, columns: 8 };
  },
  others: [
    { rows: 4, columns: 8 },
    { rows: 8, columns: 8 },
    { rows: 4, columns: 4 },
    { rows: 8, columns: 2 },
    { rows: 2, columns: 1 },
  ],
  allows: () => true,
  tiled: (c, { rows, columns }) => ({
    constants: { ROWS: rows!, COLUMNS: columns!, HELD: Math.ceil((c.IN_WIDTH! * columns!) / c.LANES!) },
    workgroups: [Math.ceil(c.M! / (rows! * WORKGROUP)), Math.ceil(c.N! / c.OUT_WIDTH! / columns!), 1],
  }),
};

/** Bytes of workgroup memory that every device has. */
const WORKGROUP_BYTES = 16384;

/** Bytes of workgroup memory of a tile: so little that a GPU's core holds several workgroups. */
const MOST_SHARED = 8704;

/** Workgroups that keep a large GPU busy. */
const ENOUGH_WORKGROUPS = 512;

/** Invocations of a workgroup along the vectors of channels, at most, unless a tile has more. */
const ACROSS = 8;

/**
 * Constants of conv2d_tiled: `quads` by `columns` vectors each of `threads` invocations, of which `across` at most lie along the vectors,
 * and `depth` terms at a time.
 */
function sharedConstants(
  constants: Constants,
  { quads, columns, depth, threads = WORKGROUP, across: most = ACROSS }: Tile,
) {
  const across = largestDivisor(
    vectors(constants) / columns!,
    [16, 8, 4, 2].filter((n) => n <= most),
  );
  const down = threads / across;
  return {
    WORKGROUP: threads,
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
const units = (a: number, b: number, workgroup: number = WORKGROUP) => ({
  A_UNITS: Math.ceil(a / workgroup),
  A_WHOLE: a % workgroup === 0,
  B_UNITS: Math.ceil(b / workgroup),
  B_WHOLE: b % workgroup === 0,
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

/** Where the input is a patch under all taps, whose weights take the most memory. */
const PATCH_TILES: readonly Tile[] = [128, 64].map((threads) => ({ ...LARGE, depth: 4, threads }));

/** For many channels. */
const WIDE: Tile = { ...LARGE, depth: 8, threads: 128, across: 16 };

/** The patch of the input under a 3x3 filter, where a workgroup has whole rows of the output, of one image or of whole images. */
function patchOf(c: Constants, choice: Tile) {
  const { TILE_QUADS, TILE_VECS } = sharedConstants(c, choice);
  const rowQuads = Math.ceil(c.GRID_W! / 4);
  const rows = TILE_QUADS / rowQuads;
  const span = Math.min(rows, c.GRID_H!);
  const segments = rows / span;
  const whole = Number.isInteger(rows) && c.GRID_H! % span === 0 && Number.isInteger(segments);
  if (c.KERNEL !== 3 || c.STRIDE !== 1 || !whole) return undefined;
  const patch = segments * (span + 2) * (rowQuads + 1);
  const tile = choice.depth! * (patch + 9 * TILE_VECS);
  return tile * 16 <= WORKGROUP_BYTES ? { span, segments, patch, tile } : undefined;
}

/** Whether a tile divides the channels. */
const divides = (c: Constants, { columns, depth }: Tile) => vectors(c) % columns! === 0 && c.IN_C! % depth! === 0;

/** The tile of a convolution that reads patches, whatever the batch: these add up in an order of their own. */
const patchTileOf = (c: Constants) => PATCH_TILES.find((choice) => divides(c, choice) && patchOf(c, choice));

const conv2dTiled: Tiling = {
  fixed(c) {
    const patched = patchTileOf(c);
    if (patched) return patched;
    const enough = (choice: Tile) => {
      const [x, y, z] = conv2dTiled.tiled(c, choice).workgroups;
      return x * y * z >= ENOUGH_WORKGROUPS;
    };
    if (divides(c, WIDE) && sharedConstants(c, WIDE).ACROSS === WIDE.across && enough(WIDE)) return WIDE;
    const large = vectors(c) % 2 === 0 ? LARGE : NARROW;
    return sharedTile(c, enough({ ...large, depth: 4 }) ? large : SMALL, (depth) => c.IN_C! % depth === 0);
  },
  others: [...PATCH_TILES, WIDE, ...SHAPES.flatMap((shape) => [4, 8, 16].map((depth) => ({ ...shape, depth })))],
  allows(c, choice) {
    const { TILE, TILE_QUADS } = sharedConstants(c, choice);
    return (
      divides(c, choice) &&
      (!c.REDUCE || TILE_QUADS === sharedConstants(c, conv2dTiled.fixed(c)).TILE_QUADS) &&
      (patchTileOf(c) ? patchOf(c, choice) !== undefined : TILE * 16 <= MOST_SHARED)
    );
  },
  tiled(c, choice) {
    const shared = sharedConstants(c, choice);
    const { DEPTH, TILE_QUADS, TILE_VECS } = shared;
    const patch = patchTileOf(c) && patchOf(c, choice);
    const quads = c.BATCH! * c.GRID_H! * Math.ceil(c.GRID_W! / 4);
    const reduced = c.REDUCE ? 2 * shared.WORKGROUP * choice.columns! : 0;
    const terms = patch ? 9 * DEPTH : DEPTH;
    return {
      constants: {
        ...shared,
        ...(patch && { PATCHED: true, SPAN: patch.span, SEGMENTS: patch.segments }),
        TILE: Math.max(patch?.tile ?? shared.TILE, reduced),
        ...units(
          ((patch?.patch ?? TILE_QUADS) * DEPTH) / 4,
          TILE_VECS * (c.BACKWARD ? terms / 4 : terms),
          shared.WORKGROUP,
        ),
      },
      workgroups: [Math.ceil(quads / TILE_QUADS), vectors(c) / TILE_VECS, c.BACKWARD ? c.STRIDE! ** 2 : 1],
    };
  },
};

/** The most invocations of a workgroup on every device. */
export const MOST_INVOCATIONS = 256;

/** Blocks of output pixels, in rows and columns: first those that read the smallest patches; then smaller ones. */
const PIXEL_BLOCKS = [
  [
    [4, 4],
    [2, 8],
    [1, 16],
  ],
  [[2, 2]],
  [[1, 1]],
] as const;

/** The vectors of an input patch of a tile's block, more than which leave no memory for the gradient's block. */
const MOST_PATCH = 896;

/**
 * The pixels that backward-weights sums at a time, as they cover images with the least beyond, and what input they read. They make the
 * order of its sums, so no tile chooses them.
 */
function pixelBlock({ OUT_H, OUT_W, KERNEL, STRIDE }: Constants) {
  // A single tap reads no pixels between.
  const skip = KERNEL === 1 ? STRIDE! : 1;
  const patched = ([rows, cols]: readonly [number, number]) => {
    const side = (pixels: number) => (pixels - 1) * (STRIDE! / skip) + KERNEL!;
    const covered = Math.ceil(OUT_H! / rows) * rows * (Math.ceil(OUT_W! / cols) * cols);
    return { rows, cols, skip, covered, patch: side(rows) * side(cols) };
  };
  return PIXEL_BLOCKS.map((blocks) => blocks.map(patched).filter(({ patch }) => patch <= MOST_PATCH))
    .find((blocks) => blocks.length > 0)!
    .reduce((best, block) => (block.covered < best.covered ? block : best));
}

/** The most vectors of a tile's input channels, so that it is not long and narrow: of one tap, and of several. */
const MOST_IN = { one: 16, several: 8 };

/** The most of the output's. */
const MOST_ACROSS = 16;

/** Invocations that a workgroup is filled up to with those of several splits, and how many run together. */
const FILLED = 128;
const WARP = 32;

/** The divisors of `n` up to `most`, in descending order. */
const divisors = (n: number, most: number) =>
  Array.from({ length: most }, (_, i) => most - i).filter((divisor) => n % divisor === 0);

/** Constants of backward-weights with `quads` by `columns` vectors an invocation. */
function weightsConstants(c: Constants, { quads, columns }: Tile) {
  const { rows, cols, skip, patch } = pixelBlock(c);
  const taps = c.KERNEL! ** 2;
  const sized = (tileIn: number, across: number) => {
    const down = Math.ceil((taps * tileIn) / quads!);
    return { down, size: down * across, a: patch * tileIn, b: rows * cols * across * columns! };
  };
  const fits = (tileIn: number, across: number) => {
    const { size, a, b } = sized(tileIn, across);
    return size <= MOST_INVOCATIONS && (a + b) * 16 <= WORKGROUP_BYTES;
  };
  const tileIn = divisors(c.IN_C! / 4, taps === 1 ? MOST_IN.one : MOST_IN.several).find((n) => fits(n, 1))!;
  const across = divisors(vectors(c) / columns!, MOST_ACROSS).find((n) => fits(tileIn, n))!;
  const { down, size, a, b } = sized(tileIn, across);
  const parts = splitsTogether(size, (a + b) * 16);
  return {
    PIXEL_ROWS: rows,
    PIXEL_COLS: cols,
    TERMS: Math.min(cols, 4),
    SKIP: skip,
    TILE_IN: tileIn,
    TILE_OUT: across * columns!,
    ACROSS: across,
    DOWN: down,
    QUADS: quads!,
    COLUMNS: columns!,
    A_UNITS: Math.ceil(a / size),
    B_UNITS: Math.ceil(b / size),
    SIZE: size,
    PARTS: parts,
    PARTED: parts > 1,
    WORKGROUP: parts * size,
    TILE: parts * (a + b),
  };
}

/** How many splits a workgroup takes, each of `size` invocations and so many bytes, for the fewest idle lanes. */
function splitsTogether(size: number, bytes: number): number {
  const most = Math.max(1, Math.floor(Math.min(FILLED / size, WORKGROUP_BYTES / bytes)));
  const used = (parts: number) => (parts * size) / (Math.ceil((parts * size) / WARP) * WARP);
  return Array.from({ length: most }, (_, i) => i + 1).reduce((best, n) => (used(n) > used(best) ? n : best));
}

/** In registers ahead of a block: more leave too few for the sums. */
const MOST_AHEAD = 9;

/** Of the quads that invocations have registers for, those that there are. */
const LEAST_USED = 0.9;

const WEIGHTS_SHAPES: readonly Tile[] = [
  { quads: 3, columns: 1 },
  { quads: 3, columns: 2 },
  { quads: 2, columns: 2 },
  { quads: 2, columns: 1 },
  { quads: 1, columns: 2 },
];

const backwardWeightsTiled: Tiling = {
  fixed(c) {
    const suits = (choice: Tile) => {
      const { A_UNITS, B_UNITS } = weightsConstants(c, choice);
      return A_UNITS + B_UNITS <= MOST_AHEAD;
    };
    return WEIGHTS_SHAPES.find((choice) => backwardWeightsTiled.allows(c, choice) && suits(choice)) ?? SMALL;
  },
  others: [...WEIGHTS_SHAPES, SMALL],
  allows(c, choice) {
    if (vectors(c) % choice.columns! !== 0) return false;
    const { TILE_IN, DOWN, QUADS } = weightsConstants(c, choice);
    return c.KERNEL! ** 2 * TILE_IN >= LEAST_USED * DOWN * QUADS;
  },
  tiled(c, choice) {
    const constants = weightsConstants(c, choice);
    const { TILE_IN, TILE_OUT, PARTS } = constants;
    return {
      constants,
      workgroups: [c.IN_C! / 4 / TILE_IN, vectors(c) / TILE_OUT, Math.ceil(c.SPLITS! / PARTS)],
    };
  },
};

/** Subgroups of a workgroup on matrix units. */
const MATRIX_SUBGROUPS = 4;

/** The most channels, and the fewest rows, of a subgroup on matrix units. */
const MATRIX_WIDTH = 32;
const MATRIX_HEIGHT = 32;

/** The fewest rows of a workgroup there. */
export const LEAST_MATRIX_ROWS = 2 * MATRIX_HEIGHT;

/** Rows of a subgroup, and terms at a time. */
const MATRIX_TILES: readonly Tile[] = [MATRIX_HEIGHT, 2 * MATRIX_HEIGHT].flatMap((height) =>
  [16, 32].map((depth) => ({ height, depth })),
);

/** How subgroups cover what a workgroup computes. */
function matrixCover(c: Constants, { height }: Tile) {
  const columns = largestDivisor(
    c.OUT_C! / c.WIDTH!,
    [4, 3, 2].filter((n) => n * c.WIDTH! <= MATRIX_WIDTH),
  );
  const across = largestDivisor(c.OUT_C! / c.WIDTH! / columns, [2]);
  const down = MATRIX_SUBGROUPS / across;
  return {
    DOWN: down,
    ACROSS: across,
    ROWS: height! / c.HEIGHT!,
    COLUMNS: columns,
    TILE_ROWS: down * height!,
    TILE_VECS: (across * columns * c.WIDTH!) / 4,
    WORKGROUP: MATRIX_SUBGROUPS * c.LANES!,
  };
}

/** What a workgroup lays into its memory: lines of `depth` terms, in so many units, each a vector or a block of four. */
function matrixMemory(cover: ReturnType<typeof matrixCover>, depth: number, aUnits: number, bUnits: number) {
  // Two vectors between lines have these begin on different banks.
  const line = depth / 4 + 2;
  return {
    DEPTH: depth,
    LINE: line,
    A_SIZE: cover.TILE_ROWS * line,
    B_SIZE: cover.TILE_VECS * 4 * line,
    ...units(aUnits, bUnits, cover.WORKGROUP),
  };
}

function matrixConvolution(c: Constants, tile: Tile) {
  const cover = matrixCover(c, tile);
  const depth = tile.depth!;
  const aUnits = (cover.TILE_ROWS * depth) / 4;
  const bUnits = cover.TILE_VECS * (c.BACKWARD ? depth : depth / 4);
  const groups = Math.min(c.LANES! / (c.WIDTH! / 4), c.HEIGHT!);
  return {
    ...cover,
    ...matrixMemory(cover, depth, aUnits, bUnits),
    STEPS: depth / c.TERMS!,
    GROUPS: groups,
    ROUNDS: c.HEIGHT! / groups,
    SCRATCH: (MATRIX_SUBGROUPS * c.HEIGHT! * c.WIDTH!) / 4,
  };
}

function fitsMatrices(c: Constants, tile: Tile): boolean {
  const { TILE_VECS, A_SIZE, B_SIZE, SCRATCH } = matrixConvolution(c, tile);
  return c.IN_C! % tile.depth! === 0 && (A_SIZE + B_SIZE) * 8 + (SCRATCH + TILE_VECS) * 16 <= WORKGROUP_BYTES;
}

/** The first that fits: many rows, as they share weights, which are rounded and turned as they are laid into memory. */
const FIXED_MATRIX_TILES: readonly Tile[] = [
  { height: 2 * MATRIX_HEIGHT, depth: 16 },
  { height: MATRIX_HEIGHT, depth: 32 },
  { height: MATRIX_HEIGHT, depth: 16 },
];

const conv2dMatrix: Tiling = {
  fixed: (c) => FIXED_MATRIX_TILES.find((tile) => fitsMatrices(c, tile))!,
  others: MATRIX_TILES,
  allows: (c, tile) =>
    fitsMatrices(c, tile) &&
    (!c.REDUCE || matrixCover(c, tile).TILE_ROWS === matrixCover(c, conv2dMatrix.fixed(c)).TILE_ROWS),
  tiled(c, tile) {
    const constants = matrixConvolution(c, tile);
    const pixels = c.BATCH! * c.GRID_H! * c.GRID_W!;
    const classes = c.BACKWARD ? c.STRIDE! ** 2 : 1;
    return {
      constants,
      workgroups: [Math.ceil(pixels / constants.TILE_ROWS), vectors(c) / constants.TILE_VECS, classes],
    };
  },
};

function matrixBackwardWeights(c: Constants, tile: Tile) {
  const cover = matrixCover(c, tile);
  const depth = tile.depth!;
  const aUnits = ((cover.TILE_ROWS / 4) * depth) / 4;
  const bUnits = (cover.TILE_VECS * depth) / 4;
  return { ...cover, ...matrixMemory(cover, depth, aUnits, bUnits), STEPS: depth / c.TERMS! };
}

const backwardWeightsMatrix: Tiling = {
  fixed({ OUT_C }) {
    if (OUT_C! >= 128) return { height: 2 * MATRIX_HEIGHT, depth: 16 };
    return { height: MATRIX_HEIGHT, depth: OUT_C! > MATRIX_WIDTH ? 32 : 16 };
  },
  others: MATRIX_TILES,
  allows(c, tile) {
    const { A_SIZE, B_SIZE } = matrixBackwardWeights(c, tile);
    return (A_SIZE + B_SIZE) * 8 <= WORKGROUP_BYTES;
  },
  tiled(c, tile) {
    const constants = matrixBackwardWeights(c, tile);
    const rows = c.KERNEL! ** 2 * c.IN_C!;
    return {
      constants,
      workgroups: [Math.ceil(rows / constants.TILE_ROWS), vectors(c) / constants.TILE_VECS, c.SPLITS!],
    };
  },
};

const TILINGS: { readonly [S in ShaderName]?: Tiling } = {
  conv2d,
  conv2d_tiled: conv2dTiled,
  conv2d_matrix: conv2dMatrix,
  conv2d_backward_weights: backwardWeights,
  conv2d_backward_weights_tiled: backwardWeightsTiled,
  conv2d_backward_weights_matrix: backwardWeightsMatrix,
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
  const allowed = tiling.others.filter((other) => tiling.allows(constants, other));
  const kernels = new Map<string, Tile>();
  for (const choice of [tiling.fixed(constants), ...allowed]) {
    const kernel = JSON.stringify(tiling.tiled(constants, choice));
    if (!kernels.has(kernel)) kernels.set(kernel, choice);
  }
  return [...kernels.values()];
}

// Of a GEMM through workgroup memory (see conv2d_tiled and tile_products). Needs IN_C, OUT_C.
const DEPTH = 4;
const ACROSS = 1;
const DOWN = 64;       // WORKGROUP / ACROSS
const QUADS = 1;
const COLUMNS = 1;
const TILE_QUADS = 64; // DOWN * QUADS
const TILE_VECS = 1;   // ACROSS * COLUMNS
const TILE = 260;      // vectors of workgroup memory: DEPTH * (TILE_QUADS + TILE_VECS), or more
const A_UNITS = 1;     // that an invocation lays into A
const A_WHOLE = true;  // and every invocation as many
const B_UNITS = 1;
const B_WHOLE = false;
const WORKGROUP = 64;
const IN_VECS = IN_C / 4;
const OUT_VECS = OUT_C / 4;
const B = DEPTH * TILE_QUADS; // where B begins in `tile`

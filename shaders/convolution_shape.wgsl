// Of the forward convolution in backward-weights, of the one that is computed elsewhere.
const BATCH = 1;
const IN_H = 8;
const IN_W = 8;
const IN_C = 4;
const OUT_H = 8;
const OUT_W = 8;
const OUT_C = 4;
const KERNEL = 3;
const STRIDE = 1;
const PADDING = 1;

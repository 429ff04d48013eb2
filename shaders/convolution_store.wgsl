// Direction of a convolution, and what it does as it stores: see conv2d.
const GRID_H = 8;     // pixels of one parity class: ceil(OUT_H / S) in backward-data, OUT_H in forward
const GRID_W = 8;
const BACKWARD = false;
const RESIDUAL = false;
const ACTIVATE = true;
const BOTH = true;
const REDUCE = false;
const STATISTICS = false; // REDUCE in forward
const GRADIENTS = false;  // REDUCE in backward-data
const RELU = true;        // of that batch norm, like the next two
const DROPS = false;      // DROPOUT > 0
const DROPOUT = 0.0;

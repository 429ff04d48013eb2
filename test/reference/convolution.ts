/** Convolution by its definition, in float64: y[n,i,j,o] = Σ x[n, i·s+u-p, j·s+v-p, c]·w[u,v,c,o], zero outside x. */

/** Activations NHWC. */
export interface ImageShape {
  n: number;
  h: number;
  w: number;
  cin: number;
}

/** Weights HWIO: [kh][kw][cin][cout]. */
export interface KernelShape {
  kh: number;
  kw: number;
  cout: number;
}

export interface ConvolutionShape extends ImageShape, KernelShape {
  stride: number;
  pad: number;
}

export function outputSize({ h, w, kh, kw, stride, pad }: ConvolutionShape): { oh: number; ow: number } {
  return { oh: Math.floor((h + 2 * pad - kh) / stride) + 1, ow: Math.floor((w + 2 * pad - kw) / stride) + 1 };
}

/** Calls f with the flat indices of y, x and w of every product in the sum. */
function forEachProduct(shape: ConvolutionShape, f: (y: number, x: number, w: number) => void): void {
  const { n, h, w, cin, kh, kw, cout, stride, pad } = shape;
  const { oh, ow } = outputSize(shape);
  for (let image = 0; image < n; image++) {
    for (let i = 0; i < oh; i++) {
      for (let j = 0; j < ow; j++) {
        for (let u = 0; u < kh; u++) {
          for (let v = 0; v < kw; v++) {
            const row = i * stride + u - pad;
            const column = j * stride + v - pad;
            if (row < 0 || row >= h || column < 0 || column >= w) continue;
            for (let c = 0; c < cin; c++) {
              for (let o = 0; o < cout; o++) {
                f(
                  ((image * oh + i) * ow + j) * cout + o,
                  ((image * h + row) * w + column) * cin + c,
                  ((u * kw + v) * cin + c) * cout + o,
                );
              }
            }
          }
        }
      }
    }
  }
}

/** x: n·h·w·cin, weights: kh·kw·cin·cout; gives y: n·oh·ow·cout. */
export function conv2d(x: Float64Array, weights: Float64Array, shape: ConvolutionShape): Float64Array {
  const { oh, ow } = outputSize(shape);
  const y = new Float64Array(shape.n * oh * ow * shape.cout);
  forEachProduct(shape, (iy, ix, iw) => {
    y[iy] += x[ix]! * weights[iw]!;
  });
  return y;
}

/** dL/dx from dy = dL/dy. */
export function conv2dBackwardData(dy: Float64Array, weights: Float64Array, shape: ConvolutionShape): Float64Array {
  const dx = new Float64Array(shape.n * shape.h * shape.w * shape.cin);
  forEachProduct(shape, (iy, ix, iw) => {
    dx[ix] += dy[iy]! * weights[iw]!;
  });
  return dx;
}

/** dL/dw from dy = dL/dy. */
export function conv2dBackwardWeights(x: Float64Array, dy: Float64Array, shape: ConvolutionShape): Float64Array {
  const dw = new Float64Array(shape.kh * shape.kw * shape.cin * shape.cout);
  forEachProduct(shape, (iy, ix, iw) => {
    dw[iw] += dy[iy]! * x[ix]!;
  });
  return dw;
}

/** PyTorch's OIHW weights as HWIO. */
export function hwioFromOihw(
  oihw: ArrayLike<number>,
  { cout, cin, kh, kw }: { cout: number; cin: number; kh: number; kw: number },
): Float64Array {
  const hwio = new Float64Array(cout * cin * kh * kw);
  for (let o = 0; o < cout; o++) {
    for (let c = 0; c < cin; c++) {
      for (let u = 0; u < kh; u++) {
        for (let v = 0; v < kw; v++) {
          hwio[((u * kw + v) * cin + c) * cout + o] = oihw[((o * cin + c) * kh + u) * kw + v]!;
        }
      }
    }
  }
  return hwio;
}

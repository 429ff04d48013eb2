/** The small ops of the network, in float64. Activations NHWC. */

export function relu(x: Float64Array): Float64Array {
  return x.map((value) => Math.max(value, 0));
}

export function reluBackward(x: Float64Array, dy: Float64Array): Float64Array {
  return dy.map((d, i) => (x[i]! > 0 ? d : 0));
}

export function add(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, i) => value + b[i]!);
}

export interface PoolShape {
  n: number;
  h: number;
  w: number;
  c: number;
}

/** (N, H, W, C) to (N, C). */
export function globalAveragePool(x: Float64Array, { n, h, w, c }: PoolShape): Float64Array {
  const y = new Float64Array(n * c);
  for (let i = 0; i < x.length; i++) {
    const image = Math.floor(i / (h * w * c));
    y[image * c + (i % c)] += x[i]! / (h * w);
  }
  return y;
}

export function globalAveragePoolBackward(dy: Float64Array, { n, h, w, c }: PoolShape): Float64Array {
  return new Float64Array(n * h * w * c).map((_, i) => {
    const image = Math.floor(i / (h * w * c));
    return dy[image * c + (i % c)]! / (h * w);
  });
}

export interface LinearShape {
  n: number;
  inputs: number;
  outputs: number;
}

/** y = x·Wᵀ + b: x (n, inputs), weights (outputs, inputs), bias (outputs); gives (n, outputs). */
export function linear(
  x: Float64Array,
  weights: Float64Array,
  bias: Float64Array,
  { n, inputs, outputs }: LinearShape,
): Float64Array {
  const y = new Float64Array(n * outputs);
  for (let row = 0; row < n; row++) {
    for (let o = 0; o < outputs; o++) {
      let sum = bias[o]!;
      for (let i = 0; i < inputs; i++) sum += x[row * inputs + i]! * weights[o * inputs + i]!;
      y[row * outputs + o] = sum;
    }
  }
  return y;
}

export function linearBackward(
  x: Float64Array,
  weights: Float64Array,
  dy: Float64Array,
  { n, inputs, outputs }: LinearShape,
): { dx: Float64Array; dweights: Float64Array; dbias: Float64Array } {
  const dx = new Float64Array(n * inputs);
  const dweights = new Float64Array(outputs * inputs);
  const dbias = new Float64Array(outputs);
  for (let row = 0; row < n; row++) {
    for (let o = 0; o < outputs; o++) {
      const d = dy[row * outputs + o]!;
      dbias[o] += d;
      for (let i = 0; i < inputs; i++) {
        dx[row * inputs + i] += d * weights[o * inputs + i]!;
        dweights[o * inputs + i] += d * x[row * inputs + i]!;
      }
    }
  }
  return { dx, dweights, dbias };
}

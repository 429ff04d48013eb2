/**
 * Cosine learning rate as the published code steps it (SGDR without restarts, Loshchilov & Hutter 2017): update `step` of
 * `steps`, both counted from 1, uses 1e-6 + (base - 1e-6) (1 + cos(pi step / steps)) / 2.
 */
export function cosineRate(base: number, step: number, steps: number): number {
  return FINAL_RATE + ((base - FINAL_RATE) * (1 + Math.cos((Math.PI * step) / steps))) / 2;
}

const FINAL_RATE = 1e-6;

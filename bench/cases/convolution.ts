import { conv2dOutput } from '../../src/kernels/conv2d.js';
import type { CaseOf } from '../workloads.js';
import type { Scale } from './index.js';

/** [in channels, out channels, side of the input, kernel, stride]: the convolutions of WRN-40-2. */
const SHAPES = [
  [3, 16, 32, 3, 1],
  [16, 32, 32, 3, 1],
  [32, 32, 32, 3, 1],
  [32, 64, 32, 3, 2],
  [64, 64, 16, 3, 1],
  [64, 128, 16, 3, 2],
  [128, 128, 8, 3, 1],
  [16, 32, 32, 1, 1],
  [32, 64, 32, 1, 2],
  [64, 128, 16, 1, 2],
] as const;

/** In `--quick`: one of each kind. */
const QUICK = new Set([0, 2, 4, 8]);

const DIRECTIONS = ['forward', 'backward-data', 'backward-weights'] as const;

/** Convolutions with padding (kernel - 1) / 2, in each of the three directions. */
export function convolutions({ quick, inCount, outCount }: Scale): CaseOf<'conv2d'>[] {
  return SHAPES.filter((_, i) => !quick || QUICK.has(i)).flatMap(([inChannels, outChannels, side, kernel, stride]) => {
    const shape = {
      batch: inCount + outCount,
      inHeight: side,
      inWidth: side,
      inChannels,
      outChannels,
      kernel,
      stride,
    };
    const { height, width } = conv2dOutput(shape);
    const flops = 2 * shape.batch * height * width * kernel ** 2 * inChannels * outChannels;
    const group = `conv ${kernel}x${kernel} ${inChannels}-${outChannels}${stride > 1 ? ` stride ${stride}` : ''} ${side}x${side}`;
    // The images need no gradient, so nobody computes the stem's backward-data.
    const directions = inChannels === 3 ? DIRECTIONS.filter((direction) => direction !== 'backward-data') : DIRECTIONS;
    return directions.map((direction) => ({
      name: `${group} ${direction}`,
      kind: 'conv2d',
      parameters: { ...shape, direction },
      flops,
      // tfjs adds up all pixels of a batch one by one, and loses a digit of 384 images.
      tolerance: direction === 'backward-weights' ? 5e-5 : 1e-5,
      group,
    }));
  });
}

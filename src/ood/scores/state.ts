import { DataError } from '../../errors.js';
import { quote } from '../../formats/array.js';
import type { Score, ScoreState } from './score.js';

/**
 * Refuse a state, read from a file, that this score could not have learned of features of this size.
 * @param source what to call the file in messages
 * @throws {DataError} where an array is missing, unknown, of a wrong type or shape, or holds NaN or infinity
 */
export function checkScoreState(
  name: string,
  score: Score,
  state: ScoreState,
  { size, classes }: { size: number; classes: number },
  source: string,
): void {
  const shapes = score.shapes?.(size, classes) ?? {};
  const extra = Object.keys(state).find((key) => !Object.hasOwn(shapes, key));
  if (extra !== undefined) throw new DataError(`${source}: ${name} has no ${quote(extra)}; fit again`);
  for (const [key, shape] of Object.entries(shapes)) {
    const array = state[key];
    if (!array) throw new DataError(`${source} lacks the ${key} that ${name} learned; fit again`);
    const fits =
      array.shape.length === shape.length &&
      shape.every((length, axis) => (length < 0 ? array.shape[axis]! > 0 : array.shape[axis] === length));
    if (!fits || !/^float(32|64)$/.test(array.dtype)) {
      const wanted = shape.map((length) => (length < 0 ? 'n' : length)).join(' x ') || 'one number';
      throw new DataError(
        `${source}: the ${key} of ${name} is ${array.dtype} ${array.shape.join(' x ')}, but must be floating point of ${wanted}; fit again`,
      );
    }
    if (!(array.data as Float64Array).every(Number.isFinite)) {
      throw new DataError(`${source}: the ${key} of ${name} holds NaN or infinity; fit again`);
    }
  }
}

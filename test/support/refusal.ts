import { expect } from 'vitest';
import { DataError } from '../../src/errors.js';

/** Expects a DataError, in one line. */
export async function expectRefusal(action: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await action.then(
    () => undefined,
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(DataError);
  expect(error.message).toMatch(message);
  expect(error.message).not.toContain('\n');
}

import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { start } from './support/run.js';

const PROGRAM = fileURLToPath(new URL('./support/reexecuted.ts', import.meta.url));

describe('reexecute', () => {
  it('runs the command line again, once, in the environment given', async () => {
    const { code, stdout, stderr } = await start(PROGRAM, ['exit', '0']).result;
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'hello\n', stderr: '' });
  });

  it('ends with the exit code of the second process', async () => {
    expect((await start(PROGRAM, ['exit', '3']).result).code).toBe(3);
  });

  it('ends with 128 + its number where a signal ended the second process', async () => {
    expect((await start(PROGRAM, ['die', 'SIGKILL']).result).code).toBe(137);
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('passes %s on, and ends with %i when the second process has saved its work', async (signal, code) => {
    const { child, saw, result } = start(PROGRAM, ['work']);
    await saw('working');
    child.kill(signal);
    expect(await result).toMatchObject({ code, stdout: 'hello\nworking\nsaving\n' });
  });

  it('takes the copies of one Ctrl-C for one, and a second Ctrl-C as an order to exit at once', async () => {
    const { child, saw, result } = start(PROGRAM, ['slow']);
    await saw('working');
    for (let copy = 0; copy < 3; copy++) {
      child.kill('SIGINT');
      await sleep(30);
    }
    await saw('saving');
    await sleep(600);
    expect(child.exitCode).toBeNull();
    child.kill('SIGINT');
    expect((await result).code).toBe(130);
  });
});

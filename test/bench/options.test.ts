import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

const bench = (...args: string[]) =>
  new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    execFile('npx', ['tsx', 'bench/run.ts', ...args], { cwd: root }, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    );
  });

describe('the benchmark’s command line', () => {
  it('lists the cases that a name matches', async () => {
    const { code, stdout } = await bench('--list', '--case', '^matmul');
    expect(code).toBe(0);
    expect(stdout.trim().split('\n')).toEqual(
      ['matmul 512', 'matmul 1024', 'matmul 2048', 'matmul fc 384x128x10'].map((name) =>
        expect.stringContaining(name.slice(0, 9)),
      ),
    );
  });

  it.each([
    [['--case', '('], /^--case: Invalid regular expression/],
    [['--case', 'nothing is called so'], /^--case nothing is called so: no case has such a name; --list shows them$/],
    [['--batch', '3'], /^--batch 3 is not IN\+OUT, such as 32\+64$/],
    [['--engines', 'cuda'], /^--engines cuda: there are energate, /],
    [['--json', '/nowhere/x.json'], /^--json \/nowhere\/x\.json: cannot write/],
  ])('refuses %j in one line', async (args, message) => {
    const { code, stderr } = await bench(...args);
    expect(stderr.trim()).toMatch(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(code).toBe(2);
  });
});

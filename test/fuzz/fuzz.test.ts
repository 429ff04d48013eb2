import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { FORMATS } from './formats.js';

const FILES = 2000;
/** Bytes more than the process takes before it reads anything. */
const MEMORY = 256e6;
/** Seconds of computing for one file; a hang shows as a killed process. */
const SLOWEST = 5;
const LIMIT = 600_000;

interface Report {
  readonly format: string;
  readonly read: number;
  readonly refused: number;
  readonly slowest: number;
  readonly peak: number;
  readonly failures: readonly string[];
}

/** Runs the worker in a process of its own, so that neither a crash nor what it takes of memory is ours. */
async function fuzz(folder: string, names: readonly string[]): Promise<Report[]> {
  mkdirSync(folder);
  const worker = fileURLToPath(new URL('worker.ts', import.meta.url));
  const child = spawn(
    process.execPath,
    ['--max-old-space-size=256', '--import', import.meta.resolve('tsx'), worker, folder, String(FILES), ...names],
    { stdio: ['ignore', 'pipe', 'pipe'], timeout: LIMIT, killSignal: 'SIGKILL' },
  );
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => (stdout += data));
  child.stderr.on('data', (data) => (stderr += data));
  const ended = await new Promise<string>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(`${code ?? signal}`));
  });
  const reports = stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Report);
  const next = names[reports.length];
  expect(ended, `ended at ${next}: ${stderr.slice(-500)}`).toBe('0');
  return reports;
}

it(
  `${FILES} damaged files of each format are read or refused in one line, in bounded time and memory, and nothing is written`,
  async () => {
    const root = mkdtempSync(join(tmpdir(), 'energate-fuzz-'));
    try {
      const processes = Math.min(2, availableParallelism());
      const shares = Array.from({ length: processes }, (_, i) =>
        FORMATS.map(({ name }) => name).filter((_, n) => n % processes === i),
      );
      const reports = (await Promise.all(shares.map((names, i) => fuzz(join(root, `${i}`), names)))).flat();
      expect(reports.map(({ format }) => format).sort()).toEqual(FORMATS.map(({ name }) => name).sort());
      for (const { format, read, refused, slowest, peak, failures } of reports) {
        expect(failures, format).toEqual([]);
        expect(read + refused, format).toBe(FILES);
        // Damage that is always seen, or never, would test nothing.
        expect(read, format).toBeGreaterThan(FILES / 100);
        expect(refused, format).toBeGreaterThan(FILES / 10);
        expect(slowest, format).toBeLessThan(SLOWEST);
        expect(peak, format).toBeLessThan(MEMORY);
      }
      // Names in archives lead nowhere: all there is, is the file that was read.
      const left = readdirSync(root, { recursive: true }).filter((name) => !/^\d(\/file)?$/.test(String(name)));
      expect(left).toEqual([]);
    } finally {
      rmSync(root, { recursive: true });
    }
  },
  LIMIT + 20_000,
);

import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const CLI = fileURLToPath(new URL('../../../src/cli.ts', import.meta.url));

export interface Result {
  /** The exit code; null where a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  /** What it has written to stdout so far comes to contain `text`. */
  saw(text: string): Promise<void>;
  readonly result: Promise<Result>;
}

/** Starts a TypeScript file as its users do, in this environment but for `env`. */
export function start(file: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
  return startWriting('pipe', file, args, env);
}

/** {@link start}, with its stdout to a file that is open. */
export function startWriting(
  stdout: number | 'pipe',
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Running {
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), file, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', stdout, 'pipe'],
  });
  const written = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) child[name]?.on('data', (data) => (written[name] += data));
  const result = new Promise<Result>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, ...written }));
  });
  const saw = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const look = () => written.stdout.includes(text) && resolve();
      look();
      child.stdout!.on('data', look);
      child.on('close', () => reject(new Error(`ended without writing ${text}: ${JSON.stringify(written)}`)));
    });
  return { child, saw, result };
}

/** Runs the command line. */
export function energate(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Result> {
  return start(CLI, args, env).result;
}

/** What energate itself said on stderr; Dawn writes there too. */
export function said({ stderr }: Result): string[] {
  return stderr.split('\n').filter((line) => line.startsWith('energate: '));
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { Exit } from './exit.js';
import { STOP_SIGNALS } from './interrupt.js';

const MARK = 'ENERGATE_REEXECUTED';

/** Whether this process is the second one, so that there is never a third. */
export function isReexecuted(): boolean {
  return process.env[MARK] !== undefined;
}

/**
 * Runs this same command line again in an environment that takes effect only when a process starts, and ends as it ends.
 * Signals are passed on; from a terminal the other process gets them twice (see catchInterrupts).
 * @throws {Exit} always, with the other process's exit code.
 */
export async function reexecute(environment: Readonly<Record<string, string>>): Promise<never> {
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    stdio: 'inherit',
    env: { ...process.env, ...environment, [MARK]: '1' },
  });
  const forward = (signal: NodeJS.Signals) => child.kill(signal);
  for (const signal of STOP_SIGNALS) process.on(signal, forward);
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  for (const signal of STOP_SIGNALS) process.off(signal, forward);
  throw new Exit(code ?? 128 + constants.signals[signal!]);
}

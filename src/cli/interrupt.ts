import { constants } from 'node:os';

/** Ctrl-C, an order to end, and a terminal that was closed. */
export const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
type StopSignal = (typeof STOP_SIGNALS)[number];

/** The work was stopped by a signal; ends the command with the exit code that shells give for it (130 after Ctrl-C). */
export class InterruptedError extends Error {
  override name = 'InterruptedError';
  readonly exitCode: number;

  constructor(signal: StopSignal) {
    super('interrupted');
    this.exitCode = 128 + constants.signals[signal];
  }
}

/**
 * One press of Ctrl-C can arrive several times: from the terminal, and passed on by npx, tsx and our own first process. So
 * only a signal this long (in milliseconds) after the first is a second one.
 */
const SAME_PRESS = 500;

/**
 * From now on, until `release`, {@link STOP_SIGNALS} do not end the process: the first aborts the signal, with an
 * {@link InterruptedError} as its reason, which the command throws when it has saved its state; the second exits at once.
 */
export function catchInterrupts(): { readonly signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  let first = 0;
  const interrupt = (signal: StopSignal) => {
    const error = new InterruptedError(signal);
    if (!controller.signal.aborted) {
      first = performance.now();
      controller.abort(error);
    } else if (performance.now() - first > SAME_PRESS) {
      process.exit(error.exitCode);
    }
  };
  for (const name of STOP_SIGNALS) process.on(name, interrupt);
  return {
    signal: controller.signal,
    release() {
      for (const name of STOP_SIGNALS) process.off(name, interrupt);
    },
  };
}

/**
 * Runs what keeps all that it has done where it finds it again: Ctrl-C stops it by the signal, and the same command goes on.
 */
export async function resumable(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const interrupts = catchInterrupts();
  try {
    await work(interrupts.signal);
  } catch (error) {
    if (error instanceof InterruptedError) error.message = 'stopped; the same command goes on from here';
    throw error;
  } finally {
    // The same press of Ctrl-C may come once more, and must not end a process that is about to say so.
    if (!interrupts.signal.aborted) interrupts.release();
  }
}

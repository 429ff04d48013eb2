import { reason } from '../node/files.js';

/** Standard output has no reader any more. */
let unheard = false;

/** Whether nobody reads what is printed, as behind `| head`: a command that does nothing else may end. */
export const isUnheard = (): boolean => unheard;

/**
 * A reader may stop early, as `| head` does, and as `| tee` does at the same Ctrl-C: the work goes on, unheard, and ends with its own
 * exit code. Where standard output cannot be written for another reason, such as a full disk, that is a failure.
 */
export function watchOutput(): void {
  process.stderr.on('error', () => {});
  let failed = false;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') unheard = true;
    if (error.code === 'EPIPE' || failed) return;
    failed = true;
    console.error(`energate: cannot write standard output: ${reason(error)}`);
    process.exitCode = 1;
  });
}

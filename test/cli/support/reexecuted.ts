// Re-executes itself in an environment with GREETING, and then, as its argument says: exits with a code, dies by a
// signal, or works until it is interrupted.
import { Exit } from '../../../src/cli/exit.js';
import { catchInterrupts, InterruptedError } from '../../../src/cli/interrupt.js';
import { isReexecuted, reexecute } from '../../../src/cli/reexecute.js';

try {
  const [what, value] = process.argv.slice(2);
  if (!isReexecuted()) await reexecute({ GREETING: 'hello' });
  console.log(process.env.GREETING);
  if (what === 'exit') throw new Exit(Number(value));
  if (what === 'die') process.kill(process.pid, value);
  const working = setInterval(() => {}, 1000);
  const { signal } = catchInterrupts();
  console.log('working');
  await new Promise((resolve) => signal.addEventListener('abort', resolve));
  console.log('saving');
  if (what === 'slow') await new Promise(() => {});
  clearInterval(working);
  throw signal.reason;
} catch (error) {
  if (error instanceof Exit) process.exitCode = error.code;
  else if (error instanceof InterruptedError) process.exitCode = error.exitCode;
  else throw error;
}

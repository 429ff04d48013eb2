import { performance } from 'node:perf_hooks';
import { setImmediate, setTimeout } from 'node:timers';

type Immediate = typeof globalThis.setImmediate;
type Poll = () => void;

/** Dawn asks again after this share of the time that it has waited, so that short waits stay short. */
const SHARE = 1 / 8;
/** The longest that it pauses, and the shortest time that a timer can wait; milliseconds. */
const LONGEST = 1;

/**
 * Make calls of Dawn that return promises, and spare a core while they are waited for. Dawn's Node binding asks in every turn of the
 * event loop whether what a promise waits for is done, which keeps a core busy; a software adapter needs that core. Dawn looks `setImmediate` up each time that it schedules the next turn, so whoever replaces it just
 * then can have Dawn ask less often: here after pauses that grow to about a millisecond. Until they have, 8 ms after Dawn began to
 * wait, they block the thread, as no timer is so short; then the event loop sleeps.
 */
export function patiently<T>(calls: () => T): T {
  return under(pacing(globalThis.setImmediate), calls);
}

/** Make calls while setImmediate is another. */
function under<T>(immediate: Immediate, calls: () => T): T {
  const before = globalThis.setImmediate;
  globalThis.setImmediate = immediate;
  try {
    return calls();
  } finally {
    globalThis.setImmediate = before;
  }
}

/** `immediate`, but for Dawn's polls, which are native and take nothing: these pause. `since`: when the wait began. */
export function pacing(immediate: Immediate, since?: number): Immediate {
  const paced = (callback: (...args: unknown[]) => void, ...args: unknown[]) =>
    args.length === 0 && /\[native code\]/.test(Function.prototype.toString.call(callback))
      ? later(callback, immediate, since)
      : immediate(callback, ...args);
  return paced as Immediate;
}

/** Have Dawn ask after a pause, and whenever it then schedules the next time, again. */
function later(poll: Poll, immediate: Immediate, since = performance.now()): NodeJS.Immediate | NodeJS.Timeout {
  const ask = () => under(pacing(immediate, since), poll);
  const pause = (performance.now() - since) * SHARE;
  if (pause >= LONGEST) return setTimeout(ask, LONGEST);
  return setImmediate(() => {
    rest(pause);
    ask();
  });
}

function rest(milliseconds: number): void {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
  } catch {
    // A thread that may not block, as a page's in Electron, asks at once.
  }
}

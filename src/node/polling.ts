import { setImmediate } from 'node:timers';

/**
 * Dawn's Node binding asks, in every turn of the event loop, whether what a promise waits for is done. That keeps a core busy,
 * of which a software adapter has none to give: on two cores it computes at half its speed. Dawn looks `setImmediate` up each
 * time that it schedules the next turn, so whoever replaces it just then can have Dawn ask less often.
 */
export type Poll = () => void;

/** Dawn asks again after this share of the time that it has waited, so that short waits stay short. */
const SHARE = 1 / 8;
/** The longest that it pauses, and the shortest time that a timer can wait; milliseconds. */
const LONGEST = 1;
const never = new Int32Array(new SharedArrayBuffer(4));

/** Make calls of Dawn. For the promises that they return it asks at least once in a millisecond, with pauses that grow to that. */
export function patiently<T>(calls: () => T): T {
  return scheduling((poll) => later(poll), calls);
}

function scheduling<T>(schedule: (poll: Poll) => void, calls: () => T): T {
  const before = globalThis.setImmediate;
  globalThis.setImmediate = schedule as typeof before;
  try {
    return calls();
  } finally {
    globalThis.setImmediate = before;
  }
}

/** Have Dawn ask after a pause, and whenever it then schedules the next time, again. */
export function later(poll: Poll, since = performance.now()): void {
  const ask = () => scheduling((next) => later(next, since), poll);
  const pause = (performance.now() - since) * SHARE;
  if (pause >= LONGEST) setTimeout(ask, LONGEST);
  else {
    setImmediate(() => {
      Atomics.wait(never, 0, 0, pause);
      ask();
    });
  }
}

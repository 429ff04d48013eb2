import { setImmediate } from 'node:timers';

/**
 * Dawn's Node binding asks, in every turn of the event loop, whether what a promise waits for is done. That keeps a core busy,
 * of which a software adapter has none to give: on two cores it computes at half its speed. Dawn looks `setImmediate` up each
 * time that it schedules the next turn, so whoever replaces it just then can have Dawn ask less often.
 */
export type Poll = () => void;

/** For how long Dawn asks in every turn, so that short waits stay short, and how often after that; milliseconds. */
const EAGER = 0.5;
const PAUSE = 1;

/** Make calls of Dawn. For the promises that they return it asks once in a millisecond; the event loop sleeps meanwhile. */
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

/** Have Dawn ask, and whenever it then schedules the next time, again. */
export function later(poll: Poll, since = performance.now()): void {
  const ask = () => scheduling((next) => later(next, since), poll);
  if (performance.now() - since < EAGER) setImmediate(ask);
  else setTimeout(ask, PAUSE);
}

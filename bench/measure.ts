import { refusal } from './compare.js';
import type { EngineProcess } from './engine-process.js';
import type { RefusedRow, Row, TimeRow } from './results.js';
import { spread } from './statistics.js';
import { toleranceOf, tolerancesOf } from './tolerance.js';
import type { Case } from './workloads.js';

/** How long to measure. */
export interface Patience {
  /** Samples of each engine, unless they take longer than the budget. */
  readonly samples: number;
  /** At least so many, whatever they take. */
  readonly minimum: number;
  /** Milliseconds of samples for each engine in a case. */
  readonly budget: number;
  /** A sample repeats its work until it takes about so many milliseconds, so that waiting is not what is measured. */
  readonly sampleMs: number;
}

/** An engine whose numbers are right, ready to be timed. */
interface Contender {
  readonly engine: EngineProcess;
  readonly setting: string;
  readonly slower: Readonly<Record<string, number>>;
  readonly wrong: Readonly<Record<string, string>>;
  /** Runs a sample. */
  readonly repeats: number;
  readonly times: number[];
}

const MOST_REPEATS = 1000;

/** Cases of which it is counted what they ask of the GPU. */
const COUNTED: readonly Case['kind'][] = ['step', 'score'];

/**
 * One case in every engine: results are checked against those of the first engine, then all that are right are timed in
 * turn, a sample each, until they have enough.
 */
export async function measure(work: Case, engines: readonly EngineProcess[], patience: Patience): Promise<Row[]> {
  const rows: Row[] = [];
  const contenders: Contender[] = [];
  let expected: Float32Array[] | undefined;
  for (const engine of engines) {
    try {
      const settings = await engine.settings(work);
      if (settings.length === 0) continue;
      const ready = await fastest(work, engine, settings, expected, patience);
      expected ??= ready.outputs;
      contenders.push(ready.contender);
    } catch (error) {
      rows.push(refused(work, engine, error));
    }
    // Without energate's results there is nothing to check the others' against.
    if (!expected) {
      for (const peer of engines.slice(1)) {
        if ((await peer.settings(work)).length > 0)
          rows.push(refused(work, peer, new Error(`there are no results of ${engine.name}`)));
      }
      return rows;
    }
  }

  const failed = new Set<Contender>();
  for (let round = 0; round < patience.samples; round++) {
    for (const contender of contenders) {
      if (failed.has(contender) || enough(contender, patience)) continue;
      try {
        contender.times.push((await contender.engine.run(contender.repeats)) / contender.repeats);
      } catch (error) {
        failed.add(contender);
        rows.push(refused(work, contender.engine, error));
      }
    }
  }

  for (const contender of contenders) {
    if (failed.has(contender)) continue;
    rows.push(timeRow(work, contender));
    try {
      const counts = COUNTED.includes(work.kind) && (await contender.engine.count());
      if (counts) rows.push({ case: work.name, engine: contender.engine.name, ...counts });
      await contender.engine.dispose();
    } catch (error) {
      rows.push(refused(work, contender.engine, error));
    }
  }
  const place = (row: Row) => engines.findIndex(({ name }) => name === row.engine);
  return rows.sort((a, b) => place(a) - place(b));
}

const enough = ({ times, repeats }: Contender, { minimum, budget }: Patience): boolean =>
  times.length >= minimum && times.reduce((sum, time) => sum + time * repeats, 0) >= budget;

/** The setting that is fastest among those whose results are right, left prepared. */
async function fastest(
  work: Case,
  engine: EngineProcess,
  settings: readonly string[],
  expected: Float32Array[] | undefined,
  { sampleMs }: Patience,
): Promise<{ contender: Contender; outputs: Float32Array[] }> {
  const times = new Map<string, number>();
  const wrong: Record<string, string> = {};
  let outputs: Float32Array[] = [];
  for (const setting of settings) {
    await engine.dispose();
    await engine.prepare(work, setting);
    outputs = await engine.outputs(); // and warm
    const reason = refusal(outputs, expected ?? outputs, tolerancesOf(work, engine.arithmetic));
    if (reason) wrong[setting] = reason;
    else times.set(setting, await timeOf(engine, sampleMs));
  }
  if (times.size === 0) {
    await engine.dispose();
    throw new Error([...new Set(Object.values(wrong))].join('; '));
  }
  const [[setting, time], ...slower] = [...times].sort(([, a], [, b]) => a - b);
  if (setting !== settings.at(-1)) {
    await engine.dispose();
    await engine.prepare(work, setting);
    await engine.run(1);
  }
  const repeats = await repeatsFor(engine, time, sampleMs);
  return { contender: { engine, setting, slower: Object.fromEntries(slower), wrong, repeats, times: [] }, outputs };
}

/** Of one run, or of three where these are short: one alone may have been held up. */
async function shortest(engine: EngineProcess): Promise<number> {
  const first = await engine.run(1);
  return first > 1000 ? first : Math.min(first, await engine.run(1), await engine.run(1));
}

/** Milliseconds of a run as it will be timed: where it is short, in a sample of many, with one wait for all. */
async function timeOf(engine: EngineProcess, sampleMs: number): Promise<number> {
  const one = await shortest(engine);
  const repeats = await repeatsFor(engine, one, sampleMs);
  if (repeats === 1) return one;
  return Math.min(await engine.run(repeats), await engine.run(repeats)) / repeats;
}

/** How many runs fill a sample, from the time of one (with its wait) and then of several (with one wait for all). */
async function repeatsFor(engine: EngineProcess, time: number, sampleMs: number): Promise<number> {
  const fitting = (each: number) => Math.max(1, Math.min(MOST_REPEATS, Math.round(sampleMs / each)));
  const first = fitting(time);
  return first === 1 ? 1 : fitting((await engine.run(first)) / first);
}

function timeRow(work: Case, { engine, setting, slower, wrong, times, repeats }: Contender): TimeRow {
  const { ms_median, ...rest } = spread(times);
  const tolerance = toleranceOf(work, engine.arithmetic);
  return {
    case: work.name,
    engine: engine.name,
    ...(tolerance > work.tolerance && { tolerance }),
    ...(setting && { setting, slower }),
    ...(Object.keys(wrong).length > 0 && { wrong }),
    ms_median,
    ...rest,
    repeats,
    ...(work.flops !== undefined && { gflops: work.flops / ms_median / 1e6 }),
    ...(work.bytes !== undefined && { gbs: work.bytes / ms_median / 1e6 }),
  };
}

const refused = (work: Case, engine: EngineProcess, error: unknown): RefusedRow => ({
  case: work.name,
  engine: engine.name,
  refused: (error as Error).message,
});

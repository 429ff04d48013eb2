import { isCount, isTime, type Row, type TimeRow } from './results.js';
import type { Case } from './workloads.js';

/**
 * Rows with what only the whole run knows: sums of groups, shares of the ceilings, ratios to energate.
 * @param cases all that there are, whether they ran or not: a group is complete with all of its cases
 * @param apart engines whose ceilings are others than the adapter's in float32: they neither set one nor have a share
 */
export function complete(rows: readonly Row[], cases: readonly Case[], apart: readonly string[]): Row[] {
  const summed = [...rows, ...groupSums(rows.filter(isTime), cases)];
  const times = summed.filter(isTime);
  const ours = new Map(times.filter(({ engine }) => engine === 'energate').map((row) => [row.case, row.ms_median]));
  const work = new Map(cases.map((item) => [item.name, item]));
  const under = times.filter(({ engine }) => !apart.includes(engine));
  const share = shares(under, work);
  return summed.map((row) => {
    if (!isTime(row)) return row;
    const own = ours.get(row.case);
    const ceiling = apart.includes(row.engine) ? undefined : share(row);
    return {
      ...row,
      ...(ceiling !== undefined && { ceiling_share: ceiling }),
      ...(row.engine !== 'energate' && own !== undefined && { ratio: row.ms_median / own }),
    };
  });
}

/** One row for each group and engine that did all its cases: times added up. */
function groupSums(rows: readonly TimeRow[], cases: readonly Case[]): TimeRow[] {
  const sums: TimeRow[] = [];
  for (const group of new Set(cases.map((item) => item.group))) {
    if (group === undefined) continue;
    const members = cases.filter((item) => item.group === group);
    for (const engine of new Set(rows.map((row) => row.engine))) {
      const parts = rows.filter((row) => row.engine === engine && members.some(({ name }) => name === row.case));
      if (members.length < 2 || parts.length < members.length) continue;
      const sum = (field: 'ms_median' | 'ms_min' | 'ms_max') => parts.reduce((total, row) => total + row[field], 0);
      const flops = members.reduce((total, { flops = 0 }) => total + flops, 0);
      sums.push({
        case: `${group} all directions`,
        engine,
        ms_median: sum('ms_median'),
        ms_min: sum('ms_min'),
        ms_max: sum('ms_max'),
        runs: Math.min(...parts.map(({ runs }) => runs)),
        gflops: flops / sum('ms_median') / 1e6,
      });
    }
  }
  return sums;
}

/** Share of the adapter's best matrix product, or of the copy that moves about as many bytes: kernels may well be faster than either. */
function shares(times: readonly TimeRow[], work: ReadonlyMap<string, Case>): (row: TimeRow) => number | undefined {
  const best = Math.max(
    ...times.filter((row) => work.get(row.case)?.kind === 'matmul').map(({ gflops = 0 }) => gflops),
  );
  const copies = times.flatMap((row) => {
    const item = work.get(row.case);
    return item?.kind === 'copy' ? [{ bytes: item.bytes!, gbs: row.gbs! }] : [];
  });
  // Of copies of one size, by several engines, the fastest is taken.
  copies.sort((a, b) => b.gbs - a.gbs);
  return (row) => {
    if (row.gflops !== undefined) return best > 0 ? row.gflops / best : undefined;
    const bytes = work.get(row.case)?.bytes;
    if (row.gbs === undefined || bytes === undefined || copies.length === 0) return undefined;
    const far = (copy: { bytes: number }) => Math.abs(Math.log(copy.bytes / bytes));
    return row.gbs / copies.reduce((near, copy) => (far(copy) < far(near) ? copy : near)).gbs;
  };
}

/** One line of the table for one row. */
export function line(row: Row): string {
  const head = `  ${row.engine.padEnd(17)}`;
  if (isCount(row)) {
    const { dispatches, submits, bind_groups, buffers, gpu_bytes } = row;
    return `${head} ${dispatches} dispatches, ${submits} submits, ${bind_groups} new bind groups, ${buffers} new buffers, ${(gpu_bytes / 1e6).toFixed(0)} MB`;
  }
  if (!isTime(row)) return `${head} refused: ${row.refused}`;
  const rate = row.gflops ?? row.gbs;
  return [
    head,
    `${number(row.ms_median)} ms`.padStart(12),
    `(${number(row.ms_min)} .. ${number(row.ms_max)}, ${row.runs} runs)`.padEnd(32),
    rate === undefined ? '' : `${number(rate)} ${row.gflops === undefined ? 'GB/s' : 'GFLOP/s'}`.padStart(14),
    row.ceiling_share === undefined ? '' : `${(100 * row.ceiling_share).toFixed(0)} % of ceiling`.padStart(16),
    row.ratio === undefined ? '' : `${number(row.ratio)}x energate's time`.padStart(24),
    row.setting ? `  (${row.setting})` : '',
    row.tolerance === undefined ? '' : `  (to ${row.tolerance})`,
    row.wrong ? `  (refused: ${Object.keys(row.wrong).join('; ')})` : '',
  ]
    .join(' ')
    .trimEnd();
}

const number = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

/** All rows, under their cases. */
export function table(rows: readonly Row[]): string {
  const cases = [...new Set(rows.map((row) => row.case))];
  return cases.map((name) => [name, ...rows.filter((row) => row.case === name).map(line)].join('\n')).join('\n');
}

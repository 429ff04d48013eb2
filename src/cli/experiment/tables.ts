import type { Engine } from '../../gpu/engine.js';
import { AVERAGE, type Evaluation, type EvaluationRow, evaluate, PROTOCOLS } from '../../ood/evaluate.js';
import { CONVENTIONS } from '../../ood/metrics.js';
import { METHODS, type MethodName, ROLES } from '../../report/methods.js';
import { AVERAGES, ERRORS, type Published, publishedFor, SOURCE } from '../../report/published.js';
import { type Cell, percent, type Table } from '../../report/table.js';
import { type Context, feasible, type Outcome, type Scored, scoreMethods } from './context.js';
import { curves, hardest, histograms } from './figures.js';

/** Softmax and energy, before and after fine-tuning, set by set. */
export async function table1(engine: Engine, context: Context): Promise<Outcome> {
  const { methods, notes } = feasible(['softmax', 'energy', 'oe', 'energy_tuned'], context);
  const scored = await scoreMethods(engine, methods, context);
  const evaluation = evaluateMethods(methods, scored, context);
  return outcome(context, scored, evaluation, notes, methods, {
    title: 'Table 1: softmax and energy scores, before and after fine-tuning',
    lead: 'How well the softmax score and the energy score tell in-distribution from out-of-distribution images, for the network as it was trained and as fine-tuned with outliers, set by set.',
    table: bySet(methods, evaluation, context),
  });
}

/** All methods of the paper, on average over the sets. */
export async function table2(engine: Engine, context: Context): Promise<Outcome> {
  const wanted = ['softmax', 'energy', 'odin', 'mahalanobis', 'oe', 'energy_tuned'] as const;
  const { methods, notes } = feasible(wanted, context);
  const scored = await scoreMethods(engine, methods, context);
  const evaluation = evaluateMethods(methods, scored, context);
  return outcome(context, scored, evaluation, notes, methods, {
    title: 'Table 2: energy and other detectors',
    lead: `Detectors on average over ${context.inputs.ood.length} out-of-distribution sets. ODIN takes T = 1000 and an input step of 0.0014, Mahalanobis the features of the last layer and the same step.`,
    table: byMethod(methods, evaluation, scored, context),
    details: { title: 'FPR95 / AUROC / AUPR of every set', table: bySet(methods, evaluation, context) },
  });
}

/** Every method on every set, by the experiment's protocol. */
export function evaluateMethods(methods: readonly MethodName[], scored: Scored, context: Context): Evaluation {
  const { inputs, protocol, seed } = context;
  const of = (pick: (name: MethodName) => Float64Array) => new Map(methods.map((name) => [name, pick(name)] as const));
  return evaluate({
    inDistribution: of((name) => scored.methods.get(name)!.ins),
    ood: inputs.ood.map(({ name }, i) => ({ name, scores: of((method) => scored.methods.get(method)!.outs[i]!) })),
    protocol,
    seed,
  });
}

/** What a protocol measures, as one line. */
export function conventionOf({ protocol, convention }: Evaluation): string {
  return `Protocol ${protocol}: ${CONVENTIONS[convention].description}, ${PROTOCOLS[protocol].description}`;
}

const three = (values: readonly number[]) => values.map((value) => value.toFixed(2)).join(' / ');
const measured = ({ fpr95, auroc, aupr_in }: EvaluationRow) => three([fpr95, auroc, aupr_in].map((v) => 100 * v));

/** Published figures are of photographs: the embedded sets share no more than a name with them. */
const publishedOf = (set: string, { inputs }: Context) => (inputs.embedded ? {} : publishedFor(set, classesOf(inputs)));

const classesOf = ({ networks }: Context['inputs']) => networks.get('base')!.config.classes;

/** A row a set, a column a method. */
function bySet(methods: readonly MethodName[], evaluation: Evaluation, context: Context): Table {
  const sets = [...context.inputs.ood.map(({ name }) => name), AVERAGE];
  const rowOf = (method: MethodName, set: string) =>
    evaluation.results.find((row) => row.score === method && row.set === set)!;
  const hasPublished = sets.some((set) => Object.keys(publishedOf(set, context)).length > 0);
  const rows = sets.map((set): Cell[] => {
    const lowest = Math.min(...methods.map((method) => rowOf(method, set).fpr95));
    const published = publishedOf(set, context);
    return [
      { text: set },
      ...methods.map((method) => {
        const row = rowOf(method, set);
        const of = published[method];
        return { text: measured(row), best: row.fpr95 === lowest, published: of && three(of) };
      }),
    ];
  });
  return {
    caption: `FPR95 / AUROC / AUPR-in, %. ${conventionOf(evaluation)}. Bold: the lowest FPR95 of the row.${hasPublished ? ` In brackets: published for the set of that name (${SOURCE}).` : ''}`,
    head: ['set', ...methods.map((name) => METHODS[name].label)],
    rows,
  };
}

/** A row a method, the averages over the sets. */
function byMethod(methods: readonly MethodName[], evaluation: Evaluation, scored: Scored, context: Context): Table {
  const rows = methods.map((name) => evaluation.results.find(({ score, set }) => score === name && set === AVERAGE)!);
  const classes = classesOf(context.inputs);
  const hasPublished = !context.inputs.embedded && AVERAGES[classes] !== undefined;
  const lowest = Math.min(...rows.map(({ fpr95 }) => fpr95));
  const cell = (
    row: EvaluationRow,
    metric: 'fpr95' | 'auroc' | 'aupr_in',
    published: Published | undefined,
    at: number,
  ): Cell => {
    const [low, high] = row.interval![metric];
    const spread = row.std ? ` ± ${percent(row.std[metric])}` : '';
    return {
      text: `${percent(row[metric])}${spread} [${percent(low)}, ${percent(high)}]`,
      published: published?.[at]?.toFixed(2),
      best: metric === 'fpr95' && row.fpr95 === lowest,
    };
  };
  return {
    caption: `Averages over ${context.inputs.ood.length} sets, %${rows[0]!.std ? ', ± over draws' : ''}, [95 % bootstrap interval]. ${conventionOf(evaluation)}. Error: of the network on ${rows[0]!.in_count} in-distribution images.${hasPublished ? ` In brackets: published averages over six other sets (${SOURCE}).` : ''}`,
    head: ['method', 'FPR95', 'AUROC', 'AUPR-in', 'error'],
    rows: rows.map((row, i): Cell[] => {
      const name = methods[i]!;
      const published = hasPublished ? AVERAGES[classes]![name] : undefined;
      const error = percent(1 - scored.accuracy.get(METHODS[name].role)!);
      return [
        { text: METHODS[name].label },
        cell(row, 'fpr95', published, 0),
        cell(row, 'auroc', published, 1),
        cell(row, 'aupr_in', published, 2),
        { text: error, published: hasPublished ? ERRORS[classes]?.[name]?.toFixed(2) : undefined },
      ];
    }),
  };
}

/** The report of a table: its figures, every number, and the hardest examples of its best energy. */
async function outcome(
  context: Context,
  scored: Scored,
  evaluation: Evaluation,
  notes: readonly string[],
  methods: readonly MethodName[],
  head: { title: string; lead: string; table: Table; details?: { title: string; table: Table } },
): Promise<Outcome> {
  const { details, ...rest } = head;
  const energy = methods.includes('energy_tuned') ? 'energy_tuned' : 'energy';
  return {
    report: {
      ...rest,
      notes,
      sections: [
        ...(details ? [{ title: 'Set by set', details: [details] }] : []),
        ...curves(methods, scored, context),
        ...histograms(['softmax', ...(energy === 'energy' ? [] : ['energy' as const]), energy], scored, context),
        await hardest(energy, scored, context),
      ],
      facts: [],
    },
    rows: flat(evaluation, context),
    json: { ...evaluationJson(evaluation, context), accuracy: accuracies(scored), left_out: notes },
  };
}

/** Accuracy in-distribution by network. */
export const accuracies = ({ accuracy }: Scored) => Object.fromEntries(accuracy);

/** The evaluation with the published figures beside each row that has some. */
export function evaluationJson({ results, ...rest }: Evaluation, context: Context) {
  return {
    ...rest,
    results: results.map(({ score: method, ...row }) => {
      const published = publishedOf(row.set, context)[method as MethodName];
      return { method, ...row, ...(published && { published: published.map(fraction) }) };
    }),
  };
}

/** A published percentage, of two decimals. */
const fraction = (percentage: number) => Number((percentage / 100).toFixed(4));

/** A flat row for each method and set. */
function flat({ protocol, convention, results }: Evaluation, context: Context) {
  return results.map(({ score: method, set, fpr95, auroc, aupr_in, aupr_out, std, interval, ...counts }) => {
    const { role, score } = METHODS[method as MethodName];
    const published = publishedOf(set, context)[method as MethodName];
    return {
      method,
      network: ROLES[role],
      score,
      set,
      ...{ fpr95, auroc, aupr_in, aupr_out },
      fpr95_std: std?.fpr95,
      fpr95_low: interval?.fpr95[0],
      fpr95_high: interval?.fpr95[1],
      in_count: counts.in_count,
      ood_count: counts.ood_count,
      draws: counts.draws,
      ...{ protocol, convention },
      published_fpr95: published && fraction(published[0]),
      published_auroc: published && fraction(published[1]),
      published_aupr: published && fraction(published[2]),
    };
  });
}

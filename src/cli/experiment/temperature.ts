import type { Engine } from '../../gpu/engine.js';
import { scoreVariants } from '../../nn/scorer.js';
import { AVERAGE, evaluate } from '../../ood/evaluate.js';
import { dashOf, type Line, lines } from '../../report/charts.js';
import type { Colour } from '../../report/draw.js';
import { percent } from '../../report/table.js';
import { startProgress } from '../progress.js';
import type { Context, Outcome } from './context.js';
import { conventionOf } from './tables.js';

/** Figure 4a goes from 1 to 1000. */
const TEMPERATURES = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/** Figure 4a: FPR95 of the energy score as the temperature grows. */
export async function temperature(engine: Engine, context: Context): Promise<Outcome> {
  const { inputs, memory, protocol, seed, signal, quiet } = context;
  const network = inputs.networks.get('base')!;
  const sets = [inputs.inDistribution, ...inputs.ood];
  const total = sets.reduce((sum, { count }) => sum + count, 0);
  const progress = startProgress({ label: 'score', total, unit: 'images', quiet });
  const energies = new Map(TEMPERATURES.map((temperature) => [String(temperature), { score: 'energy', temperature }]));
  const onProgress = (done: number) => progress.update(done);
  const scored = await scoreVariants(engine, network, sets, energies, { memory, signal, onProgress });
  progress.end();
  const evaluation = evaluate({
    inDistribution: scored[0]!.scores,
    ood: inputs.ood.map(({ name }, i) => ({ name, scores: scored[i + 1]!.scores })),
    protocol,
    seed,
    resamples: 0,
  });
  const names = [AVERAGE, ...inputs.ood.map(({ name }) => name)];
  const rowOf = (T: number, set: string) =>
    evaluation.results.find((row) => row.score === String(T) && row.set === set)!;
  const curve = (metric: 'fpr95' | 'auroc'): Line[] =>
    names.map((name, i) => ({
      name,
      colour: colourOf(i),
      strong: i === 0,
      points: TEMPERATURES.map((T): [number, number] => [T, rowOf(T, name)[metric]]),
    }));
  const convention = conventionOf(evaluation);
  const figure = (metric: 'fpr95' | 'auroc', label: string) => ({
    title: `${label} against the temperature`,
    caption: `Energy score of the pre-trained network, T on a logarithmic axis. ${convention}.`,
    description: `${label} on average: ${percent(rowOf(1, AVERAGE)[metric])} % at T = 1, ${percent(rowOf(1000, AVERAGE)[metric])} % at T = 1000.`,
    chart: lines(curve(metric), { x: 'temperature T', y: label, logX: true, dots: true }),
  });
  const lowest = (set: string) => Math.min(...TEMPERATURES.map((T) => rowOf(T, set).fpr95));
  return {
    report: {
      title: 'Figure 4a: the temperature of the energy score',
      lead: 'E(x) = -T logsumexp(f(x) / T) for T from 1 to 1000. As T grows the energy becomes the mean of the logits, and tells less; the paper recommends T = 1.',
      table: {
        caption: `FPR95, %. ${convention}. Bold: the lowest of the row.`,
        head: ['set', ...TEMPERATURES.map((T) => `T = ${T}`)],
        rows: [...names.slice(1), AVERAGE].map((set) => [
          { text: set },
          ...TEMPERATURES.map((T) => ({
            text: percent(rowOf(T, set).fpr95),
            best: rowOf(T, set).fpr95 === lowest(set),
          })),
        ]),
      },
      notes: [],
      sections: [
        {
          title: 'Curves',
          legend: names.map((label, i) => ({ label, colour: colourOf(i), dash: dashOf(i) })),
          figures: [figure('fpr95', 'FPR95'), figure('auroc', 'AUROC')],
        },
      ],
      facts: [],
    },
    rows: evaluation.results.map(({ score, set, fpr95, auroc, aupr_in, aupr_out, in_count, ood_count, draws }) => ({
      temperature: Number(score),
      set,
      ...{ fpr95, auroc, aupr_in, aupr_out, in_count, ood_count, draws },
      protocol: evaluation.protocol,
      convention: evaluation.convention,
    })),
    json: {
      ...evaluation,
      results: evaluation.results.map(({ score, ...row }) => ({ temperature: Number(score), ...row })),
    },
  };
}

const colourOf = (index: number): Colour => `s${index % 9}` as Colour;

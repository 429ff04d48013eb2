import type { Engine } from '../../gpu/engine.js';
import type { Network } from '../../nn/network.js';
import { scoreSets } from '../../nn/scorer.js';
import { AVERAGE, evaluate } from '../../ood/evaluate.js';
import { CONVENTIONS } from '../../ood/metrics.js';
import { heatMap } from '../../report/charts.js';
import { percent } from '../../report/table.js';
import { best, CHOICE, type PairResult, pairsOf, runGrid } from '../grid.js';
import { tableOf } from '../sweep.js';
import type { Context, Outcome } from './context.js';
import { conventionOf } from './tables.js';

/** Figure 4b: FPR95 of the energy score after fine-tuning with each pair of margins. The context has a tuner and validation images. */
export async function margins(engine: Engine, context: Context): Promise<Outcome> {
  const { inputs, grid, memory, signal } = context;
  const [tuner, validation] = [context.tuner!, context.validation!];
  const pairs = pairsOf(grid.mIn, grid.mOut);
  const onTest: Awaited<ReturnType<typeof test>>[] = [];
  const results = await runGrid(engine, tuner, pairs, validation, {
    memory,
    signal,
    onPair: async (_, network) => void onTest.push(await test(engine, network, context)),
  });
  const chosen = best(results);
  const { mIn, mOut } = results[chosen]!;
  const convention = conventionOf(onTest[0]!.evaluation);
  const cells = (value: (i: number) => number) =>
    results.map((pair, i) => ({ x: pair.mIn, y: pair.mOut, value: value(i), chosen: i === chosen }));
  const axes = { x: 'm_in', y: 'm_out' };
  const range = (values: readonly number[]) =>
    `from ${percent(Math.min(...values))} % to ${percent(Math.max(...values))} %`;
  const images = validation.inDistribution.count;
  return {
    report: {
      title: 'Figure 4b: the margins of the energy loss',
      lead: `FPR95 of the energy score after fine-tuning with each pair of margins. The framed pair, m_in = ${mIn} and m_out = ${mOut}, was chosen on validation outliers alone: ${CHOICE}.`,
      table: {
        caption: `Energy on the test sets, average over ${inputs.ood.length}, and on validation outliers, %. ${convention}. Bold: chosen.`,
        head: ['m_in', 'm_out', 'FPR95, test sets', 'AUROC, test sets', 'FPR95, validation', 'accuracy, validation'],
        rows: results.map((pair, i) => {
          const { fpr95, auroc } = onTest[i]!.average;
          const values = [fpr95, auroc, pair.fpr95, pair.accuracy].map(percent);
          return [String(pair.mIn), String(pair.mOut), ...values].map((text) => ({ text, best: i === chosen }));
        }),
      },
      notes: [],
      sections: [
        {
          title: 'Margins',
          figures: [
            {
              title: 'FPR95 on the test sets',
              caption: `Average over ${inputs.ood.length} sets. ${convention}.`,
              description: `FPR95 on the test sets ${range(onTest.map(({ average }) => average.fpr95))}.`,
              chart: heatMap(
                cells((i) => onTest[i]!.average.fpr95),
                axes,
              ),
            },
            {
              title: 'FPR95 on validation outliers',
              caption: `Average over eight families, ${images} in-distribution images. ${CONVENTIONS.paper.description}.`,
              description: `FPR95 on validation outliers ${range(results.map(({ fpr95 }) => fpr95))}.`,
              chart: heatMap(
                cells((i) => results[i]!.fpr95),
                axes,
              ),
            },
          ],
          details: [{ title: 'Every family of validation outliers', table: tableOf(results, chosen, images) }],
        },
      ],
      facts: [],
    },
    rows: results.map(({ families, ...pair }, i) => ({ ...onTestRow(onTest[i]!), ...renamed(pair), ...families })),
    json: {
      protocol: context.protocol,
      convention: onTest[0]!.evaluation.convention,
      chosen: { mIn, mOut },
      choice: CHOICE,
      results: results.map((pair, i) => ({ ...pair, test: onTest[i]!.evaluation.results })),
    },
  };
}

async function test(engine: Engine, network: Network, { inputs, memory, protocol, seed, signal }: Context) {
  const sets = [inputs.inDistribution, ...inputs.ood];
  const [inside, ...outside] = await scoreSets(engine, network, sets, ['energy'], { memory, signal });
  const evaluation = evaluate({
    inDistribution: inside!.scores,
    ood: inputs.ood.map(({ name }, i) => ({ name, scores: outside[i]!.scores })),
    protocol,
    seed,
    resamples: 0,
  });
  return { evaluation, average: evaluation.results.find(({ set }) => set === AVERAGE)! };
}

const onTestRow = ({ average }: { average: { fpr95: number; auroc: number; aupr_in: number } }) => ({
  test_fpr95: average.fpr95,
  test_auroc: average.auroc,
  test_aupr_in: average.aupr_in,
});

const renamed = ({ mIn, mOut, fpr95, auroc, accuracy }: Omit<PairResult, 'families'>) => ({
  m_in: mIn,
  m_out: mOut,
  validation_fpr95: fpr95,
  validation_auroc: auroc,
  validation_accuracy: accuracy,
});

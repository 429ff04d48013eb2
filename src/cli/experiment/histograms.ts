import type { Engine } from '../../gpu/engine.js';
import { METHODS, type MethodName } from '../../report/methods.js';
import type { Table } from '../../report/table.js';
import { type Context, feasible, type Outcome, type Scored, scoreMethods } from './context.js';
import { hardest, histograms as sections } from './figures.js';
import { accuracies, conventionOf, evaluateMethods, evaluationJson } from './tables.js';

/** Figures 2 and 3: the scores of in-distribution and out-of-distribution images, before and after fine-tuning. */
export async function histograms(engine: Engine, context: Context): Promise<Outcome> {
  const { methods, notes } = feasible(['softmax', 'energy', 'softmax_tuned', 'energy_tuned'], context);
  const scored = await scoreMethods(engine, methods, context);
  const evaluation = evaluateMethods(methods, scored, context);
  const means = methods.flatMap((name) => meansOf(name, scored, context));
  return {
    report: {
      title: 'Figures 2 and 3: softmax and energy scores',
      lead: 'Where the scores of in-distribution and out-of-distribution images lie, for the network as it was trained and as fine-tuned by energy. The less two histograms overlap, the better.',
      table: tableOf(methods, means, conventionOf(evaluation), context),
      notes,
      sections: [
        ...sections(methods, scored, context),
        await hardest(methods.includes('energy_tuned') ? 'energy_tuned' : 'energy', scored, context),
      ],
      facts: [],
    },
    rows: means,
    json: { ...evaluationJson(evaluation, context), accuracy: accuracies(scored), scores: means, left_out: notes },
  };
}

interface Means extends Readonly<Record<string, string | number | undefined>> {
  readonly method: string;
  readonly set: string;
  readonly count: number;
  readonly mean: number;
  readonly std: number;
}

function meansOf(name: MethodName, { methods }: Scored, { inputs }: Context): Means[] {
  const { ins, outs } = methods.get(name)!;
  return [ins, ...outs].map((scores, i) => {
    const mean = scores.reduce((a, b) => a + b, 0) / scores.length;
    const std = Math.sqrt(scores.reduce((sum, score) => sum + (score - mean) ** 2, 0) / scores.length);
    return {
      method: name,
      set: i === 0 ? inputs.inDistribution.name : inputs.ood[i - 1]!.name,
      count: scores.length,
      mean,
      std,
    };
  });
}

function tableOf(
  methods: readonly MethodName[],
  means: readonly Means[],
  convention: string,
  { inputs }: Context,
): Table {
  const names = [inputs.inDistribution.name, ...inputs.ood.map(({ name }) => name)];
  return {
    caption: `Mean ± standard deviation of the score; energies as -E, in nats. FPR95 and AUROC are in the JSON. ${convention}.`,
    head: ['set', ...methods.map((name) => METHODS[name].label)],
    rows: names.map((set, i) => [
      { text: i === 0 ? `${set} (in-distribution)` : set },
      ...methods.map((_, column) => {
        // By place, since two sets may have one name.
        const { mean, std } = means[column * names.length + i]!;
        return { text: `${mean.toFixed(3)} ± ${std.toFixed(3)}` };
      }),
    ]),
  };
}

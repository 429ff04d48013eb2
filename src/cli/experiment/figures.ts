import { gatherImages } from '../../data/image-set.js';
import { encodePng } from '../../formats/png.js';
import { type Curve, densities, precisionRecallCurve, rocCurve } from '../../ood/curves.js';
import { findScore } from '../../ood/scores.js';
import { dashOf, histogram, lines } from '../../report/charts.js';
import { METHODS, type MethodName } from '../../report/methods.js';
import type { Figure, Picture, Section } from '../../report/page.js';
import type { Context, Scored } from './context.js';

/** What the axis of a method's score says. */
const AXES: Readonly<Record<string, string>> = {
  msp: 'largest softmax probability',
  energy: 'negative energy, -E (nats)',
};

const axisOf = (name: MethodName) => AXES[METHODS[name].score] ?? METHODS[name].score;

/** Histograms of the scores of each method, a section each: every out-of-distribution set over the in-distribution images. */
export function histograms(names: readonly MethodName[], { methods }: Scored, { inputs }: Context): Section[] {
  return names.map((name) => {
    const { ins, outs } = methods.get(name)!;
    const { label } = METHODS[name];
    return {
      title: `Scores: ${label}`,
      text: `The score: ${findScore(METHODS[name].score).description}; the higher, the more in-distribution.`,
      legend: [
        { label: `in-distribution (${inputs.inDistribution.name})`, colour: 'in' as const },
        { label: 'out-of-distribution', colour: 'out' as const },
      ],
      figures: inputs.ood.map(({ name: set }, i) => ({
        title: set,
        caption: `${ins.length} in-distribution and ${outs[i]!.length} OOD images, 40 bins; each histogram has area 1.`,
        description: `Histograms of ${axisOf(name)} for ${label}: mean ${mean(ins)} in-distribution, ${mean(outs[i]!)} on ${set}.`,
        chart: histogram(densities([ins, outs[i]!]), axisOf(name)),
      })),
    };
  });
}

/** ROC and precision-recall curves of all methods, a figure for each set. */
export function curves(names: readonly MethodName[], { methods }: Scored, { inputs }: Context): Section[] {
  const figures = (kind: 'roc' | 'pr'): Figure[] =>
    inputs.ood.map(({ name: set }, i) => {
      const all = names.map((name) => {
        const { ins, outs } = methods.get(name)!;
        const curve = kind === 'roc' ? rocCurve(ins, outs[i]!) : precisionRecallCurve(ins, outs[i]!);
        return { name, colour: name, points: curve };
      });
      const { ins, outs } = methods.get(names[0]!)!;
      const counts = `${ins.length} in-distribution and all ${outs[i]!.length} OOD images`;
      const chance = ins.length / (ins.length + outs[i]!.length);
      return kind === 'roc'
        ? {
            title: set,
            caption: `In-distribution positive: TPR is the share of them accepted, FPR that of OOD images. ${counts}.`,
            description: `ROC curves of ${labels(names)} on ${set}.`,
            chart: lines(all, { x: 'false positive rate', y: 'true positive rate', domainY: [0, 1] }),
          }
        : {
            title: set,
            caption: `In-distribution positive; chance precision is ${(100 * chance).toFixed(1)} %. ${counts}.`,
            description: `Precision-recall curves of ${labels(names)} on ${set}.`,
            chart: lines(all, { x: 'recall', y: 'precision', domainY: [lowest(all, chance), 1] }),
          };
    });
  const legend = names.map((name, i) => ({ label: METHODS[name].label, colour: name, dash: dashOf(i) }));
  return [
    { title: 'ROC curves', legend, figures: figures('roc') },
    { title: 'Precision-recall curves', legend, figures: figures('pr') },
  ];
}

/** Where the axis of precision begins: a tenth below chance and the curves. Of a few images, below 2 % recall, precision says little. */
function lowest(all: readonly { points: Curve }[], chance: number): number {
  const values = all.flatMap(({ points }) =>
    points.filter(([recall]) => recall >= 0.02).map(([, precision]) => precision),
  );
  return Math.floor(10 * values.reduce((a, b) => Math.min(a, b), chance)) / 10;
}

/** Images of a kind that are shown. */
const SHOWN = 10;

/** Of each set the images that a method takes most surely for in-distribution, and the in-distribution ones it would refuse first. */
export async function hardest(name: MethodName, { methods, predicted }: Scored, { inputs }: Context): Promise<Section> {
  const { ins, outs } = methods.get(name)!;
  const { label, role } = METHODS[name];
  const sets = [inputs.inDistribution, ...inputs.ood];
  const classNames = inputs.inDistribution.classNames ?? inputs.networks.get('base')!.classNames;
  const classOf = (at: number, n: number) => {
    const k = predicted.get(role)![at]![n]!;
    return classNames?.[k] ?? `class ${k}`;
  };
  const pictures = async (at: number, scores: Float64Array, sign: 1 | -1): Promise<Picture[]> => {
    const order = Array.from(scores.keys()).sort((a, b) => sign * (scores[b]! - scores[a]!) || a - b);
    const shown = order.slice(0, SHOWN);
    const { width, height } = sets[at]!;
    const pixels = await gatherImages(sets[at]!, Uint32Array.from(shown));
    const bytes = width * height * 3;
    return shown.map((n, i) => {
      const caption = `${scores[n]!.toPrecision(4)}, taken for ${classOf(at, n)}`;
      return { png: encodePng(pixels.subarray(i * bytes, (i + 1) * bytes), width, height), caption };
    });
  };
  const figure = async (at: number, scores: Float64Array, sign: 1 | -1): Promise<Figure> => ({
    title: at === 0 ? `${sets[at]!.name} (in-distribution)` : sets[at]!.name,
    caption: `The ${Math.min(SHOWN, scores.length)} of ${scores.length} images with the ${sign === 1 ? 'highest' : 'lowest'} ${axisOf(name)}.`,
    description: '',
    pictures: await pictures(at, scores, sign),
  });
  return {
    title: `Hardest examples: ${label}`,
    text: 'Of each out-of-distribution set the images that score most like in-distribution ones; first, the in-distribution images that score least so. Below each are its score and the class that the network takes it for.',
    figures: await Promise.all([figure(0, ins, -1), ...outs.map((scores, i) => figure(i + 1, scores, 1))]),
  };
}

const labels = (names: readonly MethodName[]) => names.map((name) => METHODS[name].label).join(', ');

const mean = (values: Float64Array) => (values.reduce((a, b) => a + b, 0) / values.length).toPrecision(4);

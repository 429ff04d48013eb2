import type { MethodName } from './methods.js';

/** FPR95, AUROC and AUPR (in-distribution positive), in percent, as printed. */
export type Published = readonly [fpr95: number, auroc: number, aupr: number];

type BySet = Readonly<Partial<Record<MethodName, Published>>>;

/** What the figures are of, for captions. */
export const SOURCE = 'Liu et al. 2020, tables 1 and 2: WRN-40-2';

/** Table 2: averages over six sets (Textures, SVHN, Places365, LSUN-Crop, LSUN-Resize, iSUN), by the number of classes. */
export const AVERAGES: Readonly<Record<number, BySet>> = {
  10: {
    softmax: [51.04, 90.9, 97.92],
    energy: [33.01, 91.88, 97.83],
    odin: [35.71, 91.09, 97.62],
    mahalanobis: [37.08, 93.27, 98.49],
    oe: [8.53, 98.3, 99.63],
    energy_tuned: [3.32, 98.92, 99.75],
  },
  100: {
    softmax: [80.41, 75.53, 93.93],
    energy: [73.6, 79.56, 94.87],
    odin: [74.64, 77.43, 94.23],
    mahalanobis: [54.04, 84.12, 95.88],
    oe: [58.1, 85.19, 96.4],
    energy_tuned: [47.55, 88.46, 97.1],
  },
};

/** Classification error, in percent, of the networks that table 2 names it for. */
export const ERRORS: Readonly<Record<number, Readonly<Partial<Record<MethodName, number>>>>> = {
  10: { softmax: 5.16, oe: 5.32, energy_tuned: 4.87 },
  100: { softmax: 24.04, oe: 24.3, energy_tuned: 24.58 },
};

/** Table 1, for CIFAR-10, by set. */
const CIFAR10: Readonly<Record<string, BySet>> = {
  isun: {
    softmax: [56.03, 89.83, 97.74],
    energy: [33.68, 92.62, 98.27],
    oe: [6.32, 98.85, 99.77],
    energy_tuned: [1.6, 99.33, 99.87],
  },
  places365: {
    softmax: [59.48, 88.2, 97.1],
    energy: [40.14, 89.89, 97.3],
    oe: [19.07, 96.16, 99.06],
    energy_tuned: [9, 97.48, 99.35],
  },
  textures: {
    softmax: [59.28, 88.5, 97.16],
    energy: [52.79, 85.22, 95.41],
    oe: [12.94, 97.73, 99.52],
    energy_tuned: [5.34, 98.56, 99.68],
  },
  svhn: {
    softmax: [48.49, 91.89, 98.27],
    energy: [35.59, 90.96, 97.64],
    oe: [4.36, 98.63, 99.74],
    energy_tuned: [1.04, 99.41, 99.89],
  },
  lsuncrop: {
    softmax: [30.8, 95.65, 99.13],
    energy: [8.26, 98.35, 99.66],
    oe: [2.89, 99.49, 99.9],
    energy_tuned: [1.67, 99.32, 99.86],
  },
  lsunresize: {
    softmax: [52.15, 91.37, 98.12],
    energy: [27.58, 94.24, 98.67],
    oe: [5.59, 98.94, 99.79],
    energy_tuned: [1.25, 99.39, 99.88],
  },
};

const OTHER_NAMES: Readonly<Record<string, string>> = {
  svhntest: 'svhn',
  texture: 'textures',
  dtd: 'textures',
  lsunc: 'lsuncrop',
  lsunr: 'lsunresize',
};

/** The published figures for a set that has the name of a published one, by method; none for networks of other classes. */
export function publishedFor(set: string, classes: number): BySet {
  const name = set.toLowerCase().replace(/[^a-z0-9]/g, '');
  return (classes === 10 && CIFAR10[OTHER_NAMES[name] ?? name]) || {};
}

/** Which network a method asks: the pre-trained one, or one that was fine-tuned. */
export type Role = 'base' | 'oe' | 'tuned';

/** A row of the paper's tables: a score of a network. */
export interface Method {
  readonly label: string;
  readonly role: Role;
  /** In `SCORES`. */
  readonly score: string;
}

/** The methods of the paper's tables 1 and 2, in their order. */
export const METHODS = {
  softmax: { label: 'Softmax (MSP)', role: 'base', score: 'msp' },
  energy: { label: 'Energy', role: 'base', score: 'energy' },
  odin: { label: 'ODIN', role: 'base', score: 'odin' },
  mahalanobis: { label: 'Mahalanobis', role: 'base', score: 'mahalanobis' },
  oe: { label: 'Outlier Exposure', role: 'oe', score: 'msp' },
  softmax_tuned: { label: 'Softmax, energy fine-tuned', role: 'tuned', score: 'msp' },
  energy_tuned: { label: 'Energy fine-tuned', role: 'tuned', score: 'energy' },
} as const satisfies Record<string, Method>;

export type MethodName = keyof typeof METHODS;

/** What each network is, in words. */
export const ROLES: Readonly<Record<Role, string>> = {
  base: 'pre-trained',
  oe: 'fine-tuned by Outlier Exposure',
  tuned: 'fine-tuned by energy',
};

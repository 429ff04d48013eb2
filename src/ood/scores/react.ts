import { energyOfFeatures, fitted, float64, type Score } from './score.js';

const PERCENTILE = 0.9;

/** Rectified activations (Sun et al. 2021): the energy with features clipped at the 90th percentile of training's. */
export const react: Score = {
  description: 'energy with features clipped at their 90th percentile in training (Sun et al. 2021)',
  uses: 'features',
  async fit({ features }) {
    const sorted = features.slice().sort();
    // Between order statistics, linearly: numpy.percentile.
    const at = PERCENTILE * (sorted.length - 1);
    const below = sorted[Math.floor(at)]!;
    const above = sorted[Math.ceil(at)]!;
    return { threshold: float64([], Float64Array.of(below + (at % 1) * (above - below))) };
  },
  shapes: () => ({ threshold: [] }),
  score({ features }, settings) {
    const [threshold] = fitted('react', settings.state, 'threshold');
    return energyOfFeatures('react', features.clip(threshold!), settings);
  },
};

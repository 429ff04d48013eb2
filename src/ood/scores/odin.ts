import { checkTemperature, maxSoftmax, type Score } from './score.js';

const TEMPERATURE = 1000;
const EPSILON = 0.0014;

/** ODIN (Liang et al. 2018): the largest softmax(f(x')/T), after an input step that raises it. */
export const odin: Score = {
  description: 'largest softmax(f/T) after an input step (Liang et al. 2018; T 1000, epsilon 0.0014)',
  options: ['temperature', 'epsilon'],
  perturbation({ temperature = TEMPERATURE, epsilon = EPSILON }) {
    checkTemperature(temperature);
    return epsilon === 0 ? undefined : { epsilon, of: 'cross-entropy', temperature };
  },
  score({ logits }, { classes, temperature = TEMPERATURE }) {
    checkTemperature(temperature);
    return {
      numbers: [logits.exponentials(temperature)],
      finish: (exponentials) => maxSoftmax(exponentials, classes),
    };
  },
};

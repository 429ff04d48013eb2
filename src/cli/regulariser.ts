import type { Command } from 'commander';
import { UsageError } from '../errors.js';
import type { Regulariser } from '../graph/ops/energy-loss.js';
import { firstGiven, flagOf, nonNegativeNumber, number, positiveInteger } from './options.js';

/** What commands that train with outliers take. */
export interface OutlierArguments {
  readonly mIn: number;
  readonly mOut: number;
  readonly margin: number;
  readonly lambda?: number;
  readonly outlierBatch: number;
}

/** Published (Hendrycks et al. 2019; Liu et al. 2020, whose footnote 2 gives the hinge no weight of its own). */
export const LAMBDA = { energy: 0.1, hinge: 0.1, oe: 0.5 } as const;

type Loss = keyof typeof LAMBDA;

/** The margins of the paper for CIFAR-10; the single one is their distance. */
const MARGINS = { in: -23, out: -5, single: 18 };

/** Which loss each of these options is of. */
const OF_LOSS = { mIn: 'energy', mOut: 'energy', margin: 'hinge' } as const;

/** Declare those options, `--loss` and its margins first. */
export function addOutlierOptions(command: Command, lossDefault?: Loss): Command {
  const names = 'energy (two margins), hinge (one margin, between the two energies) or oe (Outlier Exposure)';
  if (lossDefault) command.option('--loss <name>', names, lossDefault);
  else command.option('--loss <name>', `with outliers: ${names} (default: energy where --outliers is given)`);
  return command
    .option('--m-in <E>', 'energy: in-distribution energies above it are punished', number, MARGINS.in)
    .option('--m-out <E>', 'energy: outlier energies below it are punished', number, MARGINS.out)
    .option('--margin <m>', 'hinge: how far outlier energies are to lie above the others', number, MARGINS.single)
    .option(
      '--lambda <weight>',
      'of the outlier term (default: 0.1 for energy and hinge, 0.5 for oe)',
      nonNegativeNumber,
    )
    .option('--outlier-batch <n>', 'outlier images a step', positiveInteger, 256);
}

/**
 * The regulariser that the options name.
 * @throws UsageError where the loss does not exist, an option is given that another loss has, or m_in is not below m_out
 */
export function regulariserOf(loss: string, args: OutlierArguments, command: Command): Regulariser {
  if (!Object.hasOwn(LAMBDA, loss)) throw new UsageError(`--loss ${loss} does not exist: give ${lossNames.join(', ')}`);
  for (const [name, of] of Object.entries(OF_LOSS)) {
    if (loss !== of && command.getOptionValueSource(name) === 'cli')
      throw new UsageError(`${flagOf(command, name)} is of --loss ${of}, not of ${loss}: leave it out`);
  }
  const { mIn, mOut, margin, lambda = LAMBDA[loss as Loss] } = args;
  if (loss === 'oe') return { kind: 'oe', lambda };
  if (loss === 'hinge') return { kind: 'hinge', margin, lambda };
  if (mIn >= mOut)
    throw new UsageError(
      `--m-in ${mIn} must be below --m-out ${mOut}: energy is to be low in-distribution and high outside`,
    );
  return { kind: 'energy', mIn, mOut, lambda };
}

const lossNames = Object.keys(LAMBDA);

/** The first of the outlier options that the command line gives, as a flag. */
export function givenOutlierOption(command: Command): string | undefined {
  return firstGiven(command, ['mIn', 'mOut', 'margin', 'lambda', 'outlierBatch']);
}

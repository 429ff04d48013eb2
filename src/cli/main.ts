import { Command, CommanderError } from 'commander';
import { EnergateError, UsageError } from '../errors.js';
import { Exit } from './exit.js';
import { InterruptedError } from './interrupt.js';
import { ownVersion } from './version.js';

/** Every command: its line in `energate --help`, and its file, which is loaded only where the command is named. */
const COMMANDS: Readonly<Record<string, { summary: string; load(): Promise<(command: Command) => void> }>> = {
  train: {
    summary: 'train a WideResNet from scratch',
    load: async () => (await import('./train.js')).defineTrain,
  },
  finetune: {
    summary: 'fine-tune a network with outliers, by energy or Outlier Exposure',
    load: async () => (await import('./finetune.js')).defineFinetune,
  },
  score: {
    summary: 'score images: logits, energy, softmax, label',
    load: async () => (await import('./score.js')).defineScore,
  },
  evaluate: {
    summary: 'accuracy, FPR95, AUROC and AUPR against out-of-distribution sets',
    load: async () => (await import('./evaluate.js')).defineEvaluate,
  },
  calibrate: {
    summary: 'choose a threshold on in-distribution images, and write network and threshold as one gate file',
    load: async () => (await import('./calibrate.js')).defineCalibrate,
  },
  check: {
    summary: 'ask a gate about pictures: accepted or refused, class, energy, p-value',
    load: async () => (await import('./check.js')).defineCheck,
  },
  sweep: {
    summary: 'choose the margins of the energy loss on validation outliers',
    load: async () => (await import('./sweep.js')).defineSweep,
  },
  experiment: {
    summary: 'run an experiment of the paper, with a report',
    load: async () => (await import('./experiment.js')).defineExperiment,
  },
  metrics: {
    summary: 'AUROC, AUPR and FPR95 of scores from anywhere',
    load: async () => (await import('./metrics.js')).defineMetrics,
  },
  convert: {
    summary: 'convert a network between weight formats',
    load: async () => (await import('./convert.js')).defineConvert,
  },
  data: {
    summary: 'tell what files hold (info), and download public image sets (fetch)',
    load: async () => (await import('./data.js')).defineData,
  },
  profile: {
    summary: 'where the time of a training step goes, kernel by kernel',
    load: async () => (await import('./profile.js')).defineProfile,
  },
  doctor: {
    summary: 'show which adapter is taken, what it can do, and what would be faster',
    load: async () => (await import('./doctor.js')).defineDoctor,
  },
};

/** Runs the command that `args` name. @returns the exit code: 2 for usage, 1 for failure, 3 for `check --strict`, 130 after Ctrl-C (128 and the signal's number). */
export async function main(args: readonly string[]): Promise<number> {
  const program = new Command('energate')
    .description('Train, fine-tune and score image classifiers that know when an input is out of distribution.')
    .version(ownVersion(), '--version', 'show the version')
    .helpOption('--help', 'show this help')
    .helpCommand(false)
    .exitOverride()
    .configureOutput({ outputError: () => {} });
  for (const [name, { summary, load }] of Object.entries(COMMANDS)) {
    const command = program.command(name).summary(summary);
    if (args.includes(name)) (await load())(command);
  }
  program.addHelpText('after', '\n"energate COMMAND --help" tells more of each, with examples.');

  try {
    await program.parseAsync(args, { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    return report(error, args);
  }
}

/** Says on stderr what went wrong, in one line. @returns the exit code. */
function report(error: unknown, args: readonly string[]): number {
  if (error instanceof Exit) return error.code;
  if (error instanceof CommanderError) {
    // Help and version have been written; of errors, commander leaves the writing to us.
    if (error.exitCode === 0) return 0;
    if (error.code !== 'commander.help') console.error(`energate: ${usageMessage(error, args)}`);
    return 2;
  }
  console.error(`energate: ${error instanceof Error ? error.message : error}`);
  if (process.env.ENERGATE_DEBUG && error instanceof Error) console.error(error.stack);
  if (error instanceof InterruptedError) return error.exitCode;
  if (!(error instanceof EnergateError) && !process.env.ENERGATE_DEBUG) {
    console.error('energate: this should not happen; ENERGATE_DEBUG=1 shows where it did');
  }
  return error instanceof UsageError ? 2 : 1;
}

/** commander's message as one line, with where to read more. */
function usageMessage({ message }: CommanderError, args: readonly string[]): string {
  const command = args.find((argument) => Object.hasOwn(COMMANDS, argument));
  const text = message
    .replace(/^error: /, '')
    .replace(/\s*\n\s*/g, ' ')
    .replace(/\.$/, '');
  return `${text}; see energate ${command ? `${command} ` : ''}--help`;
}

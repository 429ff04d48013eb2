import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseNormalization } from '../data/normalization.js';
import { VALIDATION_FAMILIES } from '../data/validation-outliers.js';
import { EnergateError } from '../errors.js';
import { SCORES } from '../ood/scores.js';

// Parsers for commander's `option(flags, description, parser)`. What they throw, commander prefixes with the option's name.

/** Any finite number. */
export function number(text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!Number.isFinite(value)) throw new InvalidArgumentError('give a number');
  return value;
}

export function positiveNumber(text: string): number {
  return require(number(text), (value) => value > 0, 'give a number above 0');
}

export function nonNegativeNumber(text: string): number {
  return require(number(text), (value) => value >= 0, 'give a number of 0 or more');
}

/** Numbers with commas between, each once. */
export function numbers(text: string): readonly number[] {
  const list = text.split(',').map(number);
  if (new Set(list).size < list.length) throw new InvalidArgumentError('give each number once');
  return list;
}

/** A probability that something is dropped: 0 or more, below 1. */
export function probability(text: string): number {
  return require(number(text), (value) => value >= 0 && value < 1, 'give a number of 0 or more and below 1');
}

/** A part of a whole: above 0 and below 1. */
export function fraction(text: string): number {
  return require(number(text), (value) => value > 0 && value < 1, 'give a number between 0 and 1, as 0.95');
}

export function positiveInteger(text: string): number {
  return require(number(text), (value) => Number.isSafeInteger(value) && value > 0, 'give a whole number of 1 or more');
}

/** A seed for random numbers: 32 bits. */
export function seed(text: string): number {
  const fits = (value: number) => Number.isInteger(value) && value >= 0 && value < 2 ** 32;
  return require(number(text), fits, 'give a whole number of 0 or more and below 2^32');
}

export function normalization(text: string): ReturnType<typeof parseNormalization> {
  try {
    return parseNormalization(text);
  } catch (error) {
    if (error instanceof EnergateError) throw new InvalidArgumentError(error.message);
    throw error;
  }
}

/** Each `NAME=PATH` of an option that takes one or several, gathered in order; a name in `alone` may be given without a path. */
export function namedPath(
  text: string,
  previous: ReadonlyMap<string, string> = new Map(),
  alone: readonly string[] = [],
): ReadonlyMap<string, string> {
  const isAlone = alone.includes(text);
  const at = text.indexOf('=');
  const [name, path] = isAlone ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
  if (!isAlone && (at < 1 || path === '')) throw new InvalidArgumentError('give NAME=PATH');
  if (previous.has(name)) throw new InvalidArgumentError(`the name ${name} is taken already; give each its own`);
  return new Map([...previous, [name, path]]);
}

/** `--ood`: NAME=PATH, or the name of a family of validation outliers. */
export const oodSet = (text: string, previous?: ReadonlyMap<string, string>): ReadonlyMap<string, string> =>
  namedPath(text, previous, VALIDATION_FAMILIES);

/** A parser of comma-separated lists whose members are among `allowed`, each once. */
export function listOf<T extends string>(allowed: readonly T[]): (text: string) => readonly T[] {
  return (text) => {
    const members = text.split(',').map((member) => member.trim());
    const fits = members.every((member) => allowed.includes(member as T)) && new Set(members).size === members.length;
    if (!fits)
      throw new InvalidArgumentError(`give one or more of ${allowed.join(', ')}, each once, with commas between`);
    return members as T[];
  };
}

/** The options of {@link addScoreOptions}. */
export interface ScoreArguments {
  readonly temperature?: number;
  readonly epsilon?: number;
  readonly fit?: string;
  readonly saveFit?: string;
}

/** The options of {@link addScoring}. */
export interface Scoring extends ScoreArguments {
  readonly scores: readonly string[];
}

/** What commands that score images take. */
export function addScoring(command: Command, defaults: readonly string[]): Command {
  const names = Object.keys(SCORES);
  const scores = new Option('--scores <list>', `of ${names.join(', ')}`);
  return addScoreOptions(command.addOption(scores.argParser(listOf(names)).default(defaults, defaults.join(','))));
}

/** How scores are computed, and a list of them at the end of `--help`. */
export function addScoreOptions(command: Command): Command {
  const lines = Object.entries(SCORES).map(([name, { description, fit }]) => {
    return `  ${name.padEnd(12)} ${description}${fit ? '; needs --fit' : ''}`;
  });
  return command
    .option('--temperature <T>', 'of energy (default: 1) and odin (default: 1000)', positiveNumber)
    .option('--epsilon <e>', 'the input step of odin and mahalanobis (default: 0.0014)', nonNegativeNumber)
    .option(
      '--fit <file>',
      'training images for the scores that learn from them (of CIFAR, the training images), or the .safetensors that --save-fit wrote',
    )
    .option('--save-fit <file>', 'keep what those scores learned, as .safetensors')
    .addHelpText('after', `\nScores:\n${lines.join('\n')}`);
}

/** The first of these options that the command line gives, as a flag. */
export function firstGiven(command: Command, names: readonly string[]): string | undefined {
  const given = names.find((name) => command.getOptionValueSource(name) === 'cli');
  return given && flagOf(command, given);
}

export const flagOf = (command: Command, name: string): string =>
  command.options.find((option) => option.attributeName() === name)!.long!;

/** What every command that computes takes. */
export function addQuiet(command: Command): Command {
  return command.option('--quiet', 'say nothing but results and errors');
}

/** Examples at the end of a command's `--help`: what it does, and the line to type. */
export function addExamples(command: Command, examples: readonly (readonly [what: string, line: string])[]): Command {
  const lines = examples.map(([what, line]) => `  ${what}:\n    $ ${line}`);
  return command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
}

function require(value: number, fits: (value: number) => boolean, otherwise: string): number {
  if (!fits(value)) throw new InvalidArgumentError(otherwise);
  return value;
}

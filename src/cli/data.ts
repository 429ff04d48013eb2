import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { DataError, UsageError } from '../errors.js';
import { addressOf, DATA_SETS, fileNameOf } from '../node/datasets.js';
import { describeFile } from '../node/describe.js';
import { download } from '../node/download.js';
import { catchInterrupts, type InterruptedError } from './interrupt.js';
import { addExamples, addQuiet } from './options.js';
import { type Progress, startProgress } from './progress.js';

export function defineData(command: Command): void {
  command
    .description('What a file of images or weights holds, and image sets from where their authors keep them.')
    .helpCommand(false);
  const info = command
    .command('info')
    .summary('tell what a file or folder holds, and what it is good for')
    .description('Tell what a file or folder holds: images, weights, a gate, a fit, a checkpoint or arrays.')
    .argument('<path...>', 'files or folders')
    .option('--json', 'print the same as JSON');
  info.action(showInfo);
  addExamples(info, [
    ['An image set', 'energate data info test_32x32.mat'],
    ['Weights from elsewhere', 'energate data info net.pth.tar'],
  ]);

  const lines = Object.entries(DATA_SETS).map(([name, { description, url, size, md5 }]) => {
    const known = [
      size === undefined ? 'no size published' : megabytes(size),
      ...(md5 ? [] : ['no checksum published']),
    ];
    return `  ${name.padEnd(18)} ${description}; ${known.join(', ')}\n${''.padEnd(21)}${url}`;
  });
  const fetch = command
    .command('fetch')
    .summary('download a public image set')
    .description(
      'Download image sets from their official addresses. What has come stays in FILE.part: the same command goes on from there. Size and MD5 are checked where they are published.',
    )
    .argument('<name...>', `of ${Object.keys(DATA_SETS).join(', ')}`)
    .option('--output <dir>', 'the folder to put the files in', '.')
    .option('--mirror <url>', 'another address that has the files by the same names')
    .addHelpText('after', `\nSets:\n${lines.join('\n')}`);
  addQuiet(fetch);
  fetch.action(fetchSets);
  addExamples(fetch, [
    ['The network of the paper needs', 'energate data fetch cifar10 --output data'],
    ['From a mirror', 'energate data fetch svhn-test dtd --mirror https://mirror.example/sets'],
  ]);
}

async function showInfo(paths: readonly string[], args: { json?: true }): Promise<void> {
  const descriptions = [];
  for (const path of paths) descriptions.push(await describeFile(path));
  if (args.json) {
    console.log(JSON.stringify(descriptions.length === 1 ? descriptions[0] : descriptions, null, 2));
    return;
  }
  const lines = descriptions.map((description) =>
    Object.entries(description)
      .filter(([, value]) => value !== undefined)
      .map(([key, value], i) => (i === 0 ? String(value) : `  ${key.replaceAll('_', ' ').padEnd(14)} ${show(value)}`))
      .join('\n'),
  );
  console.log(lines.join('\n'));
}

function show(value: unknown): string {
  if (Array.isArray(value)) return value.map(show).join(', ');
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value)
      .map(([key, item]) => `${key} ${item}`)
      .join(', ');
  }
  return String(value);
}

async function fetchSets(
  names: readonly string[],
  args: { output: string; mirror?: string; quiet?: true },
): Promise<void> {
  const unknown = names.find((name) => !Object.hasOwn(DATA_SETS, name));
  if (unknown !== undefined) {
    throw new UsageError(`there is no set ${unknown}; give ${Object.keys(DATA_SETS).join(', ')}`);
  }
  if (args.mirror !== undefined && !/^https?:\/\/[^/]/.test(args.mirror)) {
    throw new UsageError(`--mirror ${args.mirror} is not an address; give http://.. or https://..`);
  }
  if (!(await stat(args.output).catch(() => undefined))?.isDirectory()) {
    throw new DataError(`--output ${args.output} is not a folder; make it first`);
  }
  const interrupts = catchInterrupts();
  try {
    for (const name of names) await fetchSet(name, args, interrupts.signal);
  } finally {
    if (!interrupts.signal.aborted) interrupts.release();
  }
}

async function fetchSet(
  name: string,
  { output, mirror, quiet }: { output: string; mirror?: string; quiet?: true },
  signal: AbortSignal,
): Promise<void> {
  const set = DATA_SETS[name]!;
  const url = addressOf(set, mirror);
  const path = join(output, fileNameOf(set.url));
  let progress: Progress | undefined;
  try {
    const { size, existed } = await download({ ...set, url }, path, {
      signal,
      onProgress: (done, total) => {
        if (total === undefined) return;
        progress ??= startProgress({ label: name, total: total / 1e6, start: done / 1e6, unit: 'MB', quiet });
        progress.update(Math.min(done, total) / 1e6);
      },
    });
    progress?.end();
    const checked = set.md5
      ? `${megabytes(size)}, with the published MD5`
      : `${megabytes(size)}; no checksum is published for it${set.size ? ', its size is right' : ', nor its size'}`;
    console.log(`${path}: ${existed ? 'is there already, ' : ''}${checked}`);
  } catch (error) {
    progress?.end();
    if (!signal.aborted) throw error;
    const interruption = signal.reason as InterruptedError;
    interruption.message = `stopped; run the same again to go on with ${path}.part`;
    throw interruption;
  }
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

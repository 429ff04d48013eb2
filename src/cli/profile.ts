import type { Command } from 'commander';
import { NORMALIZATIONS } from '../data/normalization.js';
import { syntheticImages, syntheticOutliers } from '../data/synthetic/index.js';
import type { KernelTime } from '../graph/program.js';
import { OPTIMISER, Trainer } from '../nn/trainer.js';
import { wideResNet } from '../nn/wide-resnet.js';
import { openAnnouncedEngine } from './engine.js';
import { addExamples, addQuiet, positiveInteger } from './options.js';

interface Arguments {
  readonly depth: number;
  readonly width: number;
  readonly batch: number;
  readonly outlierBatch: number;
  readonly runs: number;
  readonly float16?: true;
  readonly json?: true;
  readonly quiet?: true;
}

/** All dispatches of one kernel in a step. */
interface KernelSum {
  readonly kernel: string;
  readonly dispatches: number;
  readonly ms: number;
  /** Of the sum over all kernels. */
  readonly share: number;
}

export function defineProfile(command: Command): void {
  command
    .description(
      'Where the time of an energy fine-tuning step goes, kernel by kernel, by timestamps on the GPU (the feature timestamp-query).',
    )
    .option('--depth <n>', 'depth, 6n + 4', positiveInteger, 10)
    .option('--width <n>', 'width factor', positiveInteger, 1)
    .option('--batch <n>', 'in-distribution images a step', positiveInteger, 32)
    .option('--outlier-batch <n>', 'outlier images a step', positiveInteger, 64)
    .option('--runs <n>', 'steps to take the mean of', positiveInteger, 5)
    .option('--float16', 'of the step that finetune --float16 makes')
    .option('--json', 'print the same as JSON');
  addQuiet(command);
  command.action(profile);
  addExamples(command, [
    ['A small network', 'energate profile'],
    ['The step of the paper', 'energate profile --depth 40 --width 2 --batch 128 --outlier-batch 256'],
  ]);
}

async function profile(args: Arguments): Promise<void> {
  const { depth, width, batch, outlierBatch, runs, float16 } = args;
  const start = wideResNet({ depth, width, classes: 10 }, { seed: 1, normalization: NORMALIZATIONS.cifar });
  const data = {
    inDistribution: syntheticImages({ split: 'train', count: batch, seed: 1 }),
    outliers: syntheticOutliers({ count: outlierBatch, seed: 2 }),
  };
  const engine = await openAnnouncedEngine(args);
  const trainer = await Trainer.create(engine, start, data, {
    ...OPTIMISER,
    steps: runs + 1,
    batch,
    outlierBatch,
    regulariser: { kind: 'energy', mIn: -14, mOut: -1, lambda: 0.1 },
    learningRate: 0.001,
    dropout: 0.3,
    augment: true,
    shuffle: true,
    seed: 1,
    float16,
  });
  // The first run compiles on some drivers.
  trainer.submitStep();
  await engine.finish();
  const began = performance.now();
  for (let run = 0; run < runs; run++) {
    trainer.submitStep();
    await engine.finish();
  }
  const step = (performance.now() - began) / runs;
  const kernels = sumByKernel(await trainer.compiled.profile(runs));
  const { description, device } = engine.adapter;
  const report = {
    adapter: description || device,
    network: `WRN-${depth}-${width}`,
    float16: float16 === true,
    images: batch + outlierBatch,
    ms_step: step,
    dispatches: trainer.compiled.dispatchCount,
    kernels,
  };
  engine.destroy();
  console.log(args.json ? JSON.stringify(report, null, 2) : format(report));
}

function sumByKernel(times: readonly KernelTime[]): KernelSum[] {
  const total = times.reduce((sum, { ms }) => sum + ms, 0);
  const sums = new Map<string, { dispatches: number; ms: number }>();
  for (const { shader, ms } of times) {
    const { dispatches, ms: before } = sums.get(shader) ?? { dispatches: 0, ms: 0 };
    sums.set(shader, { dispatches: dispatches + 1, ms: before + ms });
  }
  return [...sums]
    .map(([kernel, sum]) => ({ kernel, ...sum, share: total > 0 ? sum.ms / total : 0 }))
    .sort((a, b) => b.ms - a.ms);
}

function format(report: {
  adapter: string;
  network: string;
  float16: boolean;
  images: number;
  ms_step: number;
  dispatches: number;
  kernels: readonly KernelSum[];
}): string {
  const { adapter, network, float16, images, ms_step, dispatches, kernels } = report;
  const width = Math.max(...kernels.map(({ kernel }) => kernel.length));
  return [
    `${adapter}`,
    `${network}${float16 ? ', float16' : ''}, ${images} images: ${ms_step.toFixed(1)} ms a step, ${dispatches} dispatches in one submit`,
    `${'kernel'.padEnd(width)}  times       ms  share`,
    ...kernels.map(
      ({ kernel, dispatches: times, ms, share }) =>
        `${kernel.padEnd(width)}  ${String(times).padStart(5)}  ${ms.toFixed(2).padStart(7)}  ${(100 * share).toFixed(1).padStart(4)}%`,
    ),
  ].join('\n');
}

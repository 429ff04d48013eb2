/** The package as its users get it: packed, and installed into a project of its own. */
import { copyFileSync, cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compact } from '../../scripts/embed-shaders.js';
import { readStateDict } from '../../src/formats/state-dict.js';
import { encodeGate } from '../../src/gate/gate-file.js';
import { SHADERS } from '../../src/kernels/shaders.js';
import { decodeNetwork } from '../../src/nn/network-file.js';
import { findExecutable } from '../support/executable.js';
import { installInto, pack, ROOT, run, temporaryFolder, tool } from './support/install.js';

const folder = temporaryFolder();
afterAll(() => rmSync(folder, { recursive: true }));
const tarball = pack(folder);
const project = join(folder, 'project');
installInto(project, tarball, ['fflate', 'webgpu', 'sharp', '@webgpu/types', '@types/node', 'undici-types']);
const installed = join(project, 'node_modules', 'energate');

function sizeWithoutWeights(): number {
  const light = join(folder, 'light');
  cpSync(installed, light, { recursive: true });
  rmSync(join(light, 'weights'), { recursive: true });
  return (JSON.parse(run('npm', ['pack', '--json', '--ignore-scripts'], light)) as [{ size: number }])[0].size;
}

const ISOMORPHIC = ['energate', 'energate/nn', 'energate/ood', 'energate/kernels'];

/** A browser's bundle of a module in the project. */
const bundle = (contents: string) =>
  build({
    stdin: { contents, resolveDir: project },
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    write: false,
    metafile: true,
  });

describe('the packed package', () => {
  it('has a core, all that the isomorphic entries load and their types, of under 150 kB', () => {
    const reached = new Set<string>();
    const follow = (file: string): void => {
      if (reached.has(file)) return;
      reached.add(file);
      const code = readFileSync(join(installed, file), 'utf8');
      for (const [, path] of code.matchAll(/(?:from|import)\s*\(?['"](\.[^'"]+)\.js['"]/g)) {
        follow(join(dirname(file), `${path}${file.endsWith('.d.ts') ? '.d.ts' : '.js'}`));
      }
    };
    for (const name of ['index', 'nn', 'ood', 'kernels']) {
      follow(`dist/${name}.js`);
      follow(`dist/${name}.d.ts`);
    }
    const core = join(folder, 'core');
    for (const file of [...reached, 'package.json', 'README.md', 'LICENSE'])
      cpSync(join(installed, file), join(core, file));
    const [packed] = JSON.parse(run('npm', ['pack', '--json', '--ignore-scripts'], core)) as [
      { size: number; entryCount: number },
    ];
    // package.json names the command line, which is not there, so that is all there is.
    expect(packed.entryCount).toBe(reached.size + 3);
    expect(packed.size).toBeLessThan(150_000);
    console.log(`core ${packed.size} bytes, with the command line and what Node needs ${sizeWithoutWeights()}`);
  });

  it('has no complaint of publint', async () => {
    const { messages, pkg } = await publint({ pkgDir: installed, strict: true });
    expect(messages.map((message) => formatMessage(message, pkg as Record<string, unknown>))).toEqual([]);
  });

  it('has types that bundlers and Node find for every entry (attw)', () => {
    // It fails where there is a problem.
    const report = run(tool('attw'), [tarball, '--profile', 'esm-only', '--no-definitely-typed'], folder);
    for (const entry of [...ISOMORPHIC, 'energate/node']) expect(report).toContain(`"${entry}"`);
  });

  it('depends on fflate alone', () => {
    const { dependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
    expect(Object.keys(dependencies)).toEqual(['fflate']);
  });

  it('has a command line that runs', () => {
    expect(run(process.execPath, [join(installed, 'dist/cli.js'), 'finetune', '--help'], project)).toContain(
      '--outliers',
    );
  });

  it('has the shaders of the sources, but for comments and layout', () => {
    const bare = (code: string) =>
      code
        .replace(/\/\/.*$/gm, '')
        .replace(/\s+/g, ' ')
        .trim();
    const marks = (code: string) => code.match(/\/\/ (unroll|(where|unless) \w+)$/gm);
    for (const [name, code] of Object.entries(SHADERS)) {
      expect(bare(compact(code)), name).toBe(bare(code));
      expect(marks(compact(code)), name).toEqual(marks(code));
    }
  });
});

describe('in a browser bundle', () => {
  it.each(ISOMORPHIC)('%s holds neither webgpu nor anything of Node', async (entry) => {
    const { metafile, outputFiles } = await bundle(`export * from '${entry}';`);
    const inputs = Object.entries(metafile.inputs);
    const packages = inputs.map(([path]) => /node_modules\/((@[^/]+\/)?[^/]+)/.exec(path)?.[1]).filter(Boolean);
    expect(new Set(packages)).toEqual(
      new Set(entry === 'energate/ood' || entry === 'energate/kernels' ? ['energate'] : ['energate', 'fflate']),
    );
    expect(inputs.flatMap(([, { imports }]) => imports.filter(({ external }) => external))).toEqual([]);
    expect(outputFiles[0]!.text).not.toMatch(/['"](node:|webgpu['"])/);
  });

  it('energate/node is not for browsers: the test above would see it', async () => {
    await expect(bundle("export * from 'energate/node';")).rejects.toThrow('node:');
  });

  it('a score on plain arrays is a few lines, for all else is left out', async () => {
    const { outputFiles } = await bundle("import { energy } from 'energate'; console.log(energy([0, 1], 2));");
    expect(outputFiles[0]!.contents.length).toBeLessThan(6000);
  });
});

/** The README's TypeScript, each block a module. */
const snippets = [...readFileSync(join(ROOT, 'README.md'), 'utf8').matchAll(/^```ts\n(.*?)^```$/gms)].map(
  ([, code]) => code!,
);
for (const [i, code] of snippets.entries()) writeFileSync(join(project, `snippet${i + 1}.ts`), code);

// What the snippets read.
const weights = join(installed, 'weights/wrn-10-1-shapes.safetensors');
copyFileSync(weights, join(project, 'tuned.safetensors'));
beforeAll(async () => {
  const network = decodeNetwork(readStateDict(readFileSync(weights), 'weights'), 'weights');
  const scores = Float64Array.from({ length: 100 }, (_, i) => i / 10);
  const bytes = await encodeGate({
    ...{ network, precision: 'float32', score: 'energy', accept: 0.95, fit: undefined },
    calibration: { scores, labels: undefined },
  });
  writeFileSync(join(project, 'gate.energate'), bytes);
  const grey = { create: { width: 64, height: 48, channels: 3, background: '#808080' } } as const;
  await sharp(grey).png().toFile(join(project, 'photo.png'));
});

const TYPESCRIPTS = [
  { name: 'TypeScript 5.9', bin: 'node_modules/typescript-5/bin/tsc', types: ['node', '@webgpu/types'] },
  // Its own library knows WebGPU.
  { name: 'TypeScript 7', bin: 'node_modules/typescript/bin/tsc', types: ['node'] },
];
const RESOLUTIONS = [
  { module: 'esnext', moduleResolution: 'bundler' },
  { module: 'nodenext', moduleResolution: 'nodenext' },
];

describe('the README’s snippets', () => {
  it('are there', () => expect(snippets.length).toBeGreaterThanOrEqual(3));

  it.each(TYPESCRIPTS.flatMap((typescript) => RESOLUTIONS.map((resolution) => ({ ...typescript, ...resolution }))))(
    'compile with $name, moduleResolution $moduleResolution',
    ({ bin, types, module, moduleResolution }) => {
      const options = {
        target: 'es2022',
        lib: ['es2023', 'dom'],
        strict: true,
        // As `tsc --init` has it: `webgpu` brings @webgpu/types, which TypeScript 7's own declarations repeat.
        skipLibCheck: true,
        types,
        module,
        moduleResolution,
        outDir: 'out',
      };
      writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, include: ['*.ts'] }));
      run(process.execPath, [join(ROOT, bin)], project);
      expect(readdirSync(join(project, 'out')).length).toBe(snippets.length);
    },
  );

  it.each(snippets.map((code, i) => ({ n: i + 1, first: code.split('\n')[0]! })))('$n runs: $first', ({ n }) => {
    const file = join(project, 'out', `snippet${n}.js`);
    expect(existsSync(file)).toBe(true);
    expect(run(process.execPath, [file], project)).not.toBe('');
  });
});

/** What `DENO` names, else the one in the search path (.ci/install-deno.sh). */
const deno = findExecutable('DENO', ['deno']);

describe.skipIf(!deno)(`in Deno${deno ? '' : ' (skipped: no deno)'}`, () => {
  it.each(snippets.map((code, i) => ({ n: i + 1, first: code.split('\n')[0]! })))('$n runs: $first', ({ n }) => {
    expect(run(deno!, ['run', '-A', `snippet${n}.ts`], project)).not.toBe('');
  });

  it('computes on its own WebGPU what Node does, and fine-tunes', () => {
    const code = (engine: string) => `
      import { readFileSync } from 'node:fs';
      import { Classifier, decodeNetwork, Engine, OPTIMISER, readStateDict, syntheticImages, syntheticOutliers, Trainer } from 'energate';
      const engine = await ${engine};
      const network = decodeNetwork(readStateDict(readFileSync('tuned.safetensors'), 'tuned'), 'tuned');
      const classifier = await Classifier.create(engine, network, { batch: 4 });
      const { logits } = await classifier.run(syntheticImages({ split: 'test', seed: 1, count: 4 }));
      const sets = {
        inDistribution: syntheticImages({ split: 'train', seed: 1, count: 8 }),
        outliers: syntheticOutliers({ seed: 1, count: 8 }),
      };
      const regulariser = { kind: 'energy', mIn: -13, mOut: -3, lambda: 0.1 };
      const trainer = await Trainer.create(engine, network, sets, {
        ...OPTIMISER, steps: 2, batch: 4, outlierBatch: 4, learningRate: 0.003, regulariser, dropout: 0.3, augment: true,
        shuffle: true, seed: 1,
      });
      const losses = [];
      await trainer.run((logs) => losses.push(...logs.map(({ loss }) => loss)));
      console.log(JSON.stringify({ logits: [...logits], losses }));
      engine.destroy();
    `;
    writeFileSync(join(project, 'node.mjs'), `import { openEngine } from 'energate/node';${code('openEngine()')}`);
    writeFileSync(join(project, 'deno.mjs'), code('Engine.open()'));
    const last = (output: string) => JSON.parse(output.trim().split('\n').at(-1)!);
    const there = last(run(process.execPath, ['node.mjs'], project));
    const here = last(run(deno!, ['run', '-A', '--unstable-webgpu', 'deno.mjs'], project));
    expect([here.logits.length, here.losses.length]).toEqual([40, 2]);
    for (const name of ['logits', 'losses']) {
      here[name].forEach((value: number, i: number) => {
        expect(Math.abs(value - there[name][i])).toBeLessThan(1e-4 * Math.max(1, Math.abs(there[name][i])));
      });
    }
  }, 300_000);
});

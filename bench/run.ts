import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { checkWritable, writeFileAtomic } from '../src/node/files.js';
import { allCases, isCeiling, type Scale } from './cases/index.js';
import { commitOf, driverOf } from './driver.js';
import { EngineProcess, opened, PYTHON_ENGINES } from './engine-process.js';
import { ENGINES } from './engines/index.js';
import { measure, type Patience } from './measure.js';
import { complete, table } from './report.js';
import type { Results, Row } from './results.js';
import type { Case } from './workloads.js';

const ALL_ENGINES = [...Object.keys(ENGINES), ...PYTHON_ENGINES];

const HELP = `npm run bench -- [options]: time energate beside its peers, on one adapter, checked before timed

  --quick           kernels alone, small sizes, few runs: under three minutes on two cores with lavapipe
  --case REGEX      only cases whose name matches (the two ceilings always run)
  --engines A,B     some of ${ALL_ENGINES.join(', ')};
                    energate is always one, and by default all take part but ${PYTHON_ENGINES.join(' and ')}
  --python PATH     the Python whose PyTorch ${PYTHON_ENGINES.join(' and ')} are (default python3)
  --batch IN+OUT    images of a mixed batch (default 32+64; quick 4+8)
  --toggles A,B     Dawn features to enable, in every engine, say disable_robustness,allow_unsafe_apis
  --json FILE       where results go, with a figure beside (default bench/results/latest.json)
  --list            names of the cases (that match --case), and no more`;

/** Enough for a stable median; a quick run gives up earlier. */
const PATIENCE: Patience = { samples: 15, minimum: 3, budget: 20_000, sampleMs: 50 };
const QUICK: Patience = { samples: 5, minimum: 2, budget: 400, sampleMs: 30 };

const options = parse();
const figure = options.json.replace(/(\.json)?$/, '.svg');

if (options.help) console.log(HELP);
else if (options.list) for (const { name } of matching(allCases(scale()))) console.log(name);
else await run();

function parse() {
  try {
    return parseArgs({
      options: {
        quick: { type: 'boolean', default: false },
        case: { type: 'string' },
        engines: { type: 'string' },
        python: { type: 'string', default: 'python3' },
        batch: { type: 'string' },
        toggles: { type: 'string', default: '' },
        json: { type: 'string', default: fileURLToPath(new URL('results/latest.json', import.meta.url)) },
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    return usage((error as Error).message);
  }
}

function scale(): Scale {
  const batch = options.batch ?? (options.quick ? '4+8' : '32+64');
  const [, inCount, outCount] = /^(\d+)\+(\d+)$/.exec(batch) ?? usage(`--batch ${batch} is not IN+OUT, such as 32+64`);
  return { quick: options.quick, inCount: Number(inCount), outCount: Number(outCount) };
}

function chosenEngines(): string[] {
  const names = options.engines?.split(',') ?? Object.keys(ENGINES);
  const unknown = names.find((name) => !ALL_ENGINES.includes(name));
  if (unknown !== undefined) usage(`--engines ${unknown}: there are ${ALL_ENGINES.join(', ')}`);
  // The first is what the others are checked against.
  return ['energate', ...names.filter((name) => name !== 'energate')];
}

/** The cases that `--case` names. */
function matching(cases: readonly Case[]): Case[] {
  let wanted: RegExp;
  try {
    wanted = new RegExp(options.case ?? '');
  } catch (error) {
    return usage(`--case: ${(error as Error).message}`);
  }
  const found = cases.filter(({ name }) => wanted.test(name));
  return found.length > 0 ? found : usage(`--case ${options.case}: no case has such a name; --list shows them`);
}

async function save(results: Results): Promise<void> {
  const { draw } = await import('./draw.js');
  const encoder = new TextEncoder();
  await writeFileAtomic(options.json, encoder.encode(`${JSON.stringify(results, null, 1)}\n`));
  await writeFileAtomic(figure, encoder.encode(await draw(results)));
}

function resultsOf(engines: readonly EngineProcess[], rows: readonly Row[]): Results {
  const [driver, commit] = [driverOf(engines[0].adapter), commitOf()];
  return {
    adapter: engines[0].adapter,
    driver,
    toggles: options.toggles ? options.toggles.split(',') : [],
    versions: {
      ...Object.fromEntries(engines.map(({ name, version }) => [name, version])),
      webgpu: webgpuVersion(),
      node: process.versions.node,
    },
    date: new Date().toISOString(),
    ...(commit && { commit }),
    command: ['npm run bench --', ...process.argv.slice(2)].join(' '),
    rows,
  };
}

async function run(): Promise<void> {
  const size = scale();
  const all = allCases(size);
  const wanted = matching(all);
  const cases = all.filter((item) => wanted.includes(item) || isCeiling(item, size));
  for (const path of [options.json, figure])
    await checkWritable(path).catch((error: Error) => usage(`--json ${options.json}: ${error.message}`));
  const names = chosenEngines();
  if (!existsSync(new URL('node_modules/vega', import.meta.url)))
    usage('the peers are not installed: npm ci --prefix bench --ignore-scripts');
  const chosen = names.map((name) => new EngineProcess(name, options));
  try {
    const engines = await opened(chosen, console.log).catch((error: Error) => fail(error.message));
    const apart = engines.filter((engine) => engine.apart).map(({ name }) => name);
    const rows: Row[] = [];
    for (const item of cases) {
      rows.push(...(await measure(item, engines, options.quick ? QUICK : PATIENCE)));
      const done = complete(rows, all, apart);
      console.log(table(done.filter((row) => row.case === item.name)));
      // After each case: a run that is interrupted has not been in vain.
      await save(resultsOf(engines, done));
    }
    console.log(table(complete(rows, all, apart).slice(rows.length)));
    console.log(`\n${options.json}\n${figure}`);
  } finally {
    for (const engine of chosen) engine.close();
  }
}

function webgpuVersion(): string {
  const path = fileURLToPath(new URL('../node_modules/webgpu/package.json', import.meta.url));
  return JSON.parse(readFileSync(path, 'utf8')).version;
}

function usage(message: string): never {
  console.error(message);
  process.exit(2);
}

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}

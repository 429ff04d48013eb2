/**
 * `npm run build`: dist/ from src/. The library's entries and the command line as one bundle, split where they share code, so
 * that nothing lies in the package twice; the command line's parser is in it, and so is no dependency. Minified, as the
 * package has to stay small (test/package/). The declarations are bundled and split likewise, with all comments on what an entry's
 * types lead to.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { build } from 'esbuild';
import { rollup } from 'rollup';
import { compact, generate } from './embed-shaders.js';

const ENTRIES = ['index', 'node', 'nn', 'ood', 'kernels'];

rmSync('dist', { recursive: true, force: true });
const declarations = spawnSync('node_modules/.bin/tsc', ['-p', 'tsconfig.build.json'], { stdio: 'inherit' });
if (declarations.status !== 0) process.exit(1);
await bundleDeclarations();

await build({
  entryPoints: [...ENTRIES, 'cli'].map((name) => `src/${name}.ts`),
  outdir: 'dist',
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  minify: true,
  format: 'esm',
  platform: 'node',
  target: 'es2022',
  external: ['fflate', 'webgpu', '@sparticuz/chromium', 'sharp', 'vega', 'vega-lite'],
  plugins: [
    {
      name: 'compact shaders',
      setup({ onLoad }) {
        onLoad({ filter: /[\\/]kernels[\\/]shaders\.ts$/ }, () => ({ contents: generate(compact), loader: 'ts' }));
      },
    },
    {
      // commander is CommonJS and asks for node: modules by require, which ES modules do not have: such a module in between imports.
      name: 'required node: modules',
      setup({ onResolve, onLoad }) {
        onResolve({ filter: /^node:/ }, ({ path, kind }) =>
          kind === 'require-call' ? { path, namespace: 'required' } : undefined,
        );
        onLoad({ filter: /.*/, namespace: 'required' }, ({ path }) => ({
          contents: `export { default } from '${path}';`,
        }));
        onLoad({ filter: /[\\/]commander[\\/].*\.js$/ }, ({ path }) => ({
          contents: readFileSync(path, 'utf8').replace(/require\('node:\w+'\)/g, '$&.default'),
        }));
      },
    },
  ],
});

/** A file of declarations for what the same entries share, in place of one for each module: many small files pack badly. */
async function bundleDeclarations(): Promise<void> {
  // rollup-plugin-dts parses with the classic API, which `typescript` lost in 7.
  const require = createRequire(import.meta.url);
  require('typescript-5');
  require.cache[require.resolve('typescript')] = require.cache[require.resolve('typescript-5')];
  const { dts } = await import('rollup-plugin-dts');
  const bundle = await rollup({
    input: Object.fromEntries(ENTRIES.map((name) => [name, `dist/${name}.d.ts`])),
    plugins: [dts()],
    // Warns of types that are in an entry's types, but that no entry exports by name: those are meant to be so.
    onLog: (level, log, handle) => log.message.includes('private shared type') || handle(level, log),
  });
  const heads = new Map(
    ENTRIES.map((name) => [name, /^\/\*\*.*?\*\/\n/s.exec(readFileSync(`dist/${name}.d.ts`, 'utf8'))?.[0] ?? '']),
  );
  rmSync('dist', { recursive: true });
  await bundle.write({
    dir: 'dist',
    banner: ({ isEntry, name }) => (isEntry ? heads.get(name)! : ''),
    entryFileNames: '[name].d.ts',
    chunkFileNames: 'types/[name].ts',
    minifyInternalExports: false,
  });
}

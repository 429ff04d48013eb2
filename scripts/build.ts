/**
 * `npm run build`: dist/ from src/. The library's entries and the command line as one bundle, split where they share code, so
 * that nothing lies in the package twice; the command line's parser is in it, and so is no dependency. Minified, as the
 * package has to stay small (test/package/): the declarations keep all comments.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { compact, generate } from './embed-shaders.js';

const ENTRIES = ['index', 'node', 'nn', 'ood', 'kernels'];

rmSync('dist', { recursive: true, force: true });
const declarations = spawnSync('node_modules/.bin/tsc', ['-p', 'tsconfig.build.json'], { stdio: 'inherit' });
if (declarations.status !== 0) process.exit(1);
removeInternal();

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

/** Removes the declarations that no entry's types lead to. */
function removeInternal(): void {
  const reached = new Set<string>();
  const follow = (file: string): void => {
    if (reached.has(file)) return;
    reached.add(file);
    for (const [, path] of readFileSync(file, 'utf8').matchAll(/(?:from |import\()'(\.[^']+)\.js'/g)) {
      follow(join(dirname(file), `${path}.d.ts`));
    }
  };
  for (const name of ENTRIES) follow(join('dist', `${name}.d.ts`));
  for (const name of readdirSync('dist', { recursive: true, encoding: 'utf8' })) {
    const file = join('dist', name);
    if (file.endsWith('.d.ts') && !reached.has(file)) rmSync(file);
  }
}

/** `npm run build`: dist/ from src/. The library file by file, with types; the command line as one bundle, so that its parser is no dependency. */
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { build } from 'esbuild';

rmSync('dist', { recursive: true, force: true });
const library = spawnSync('node_modules/.bin/tsc', ['-p', 'tsconfig.build.json'], { stdio: 'inherit' });
if (library.status !== 0) process.exit(1);
await build({
  entryPoints: ['src/cli.ts'],
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  chunkNames: 'cli/[name]-[hash]',
  external: ['fflate', 'webgpu', '@sparticuz/chromium', 'sharp', 'vega', 'vega-lite'],
  // commander is CommonJS and asks for node: modules by require.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
});

/**
 * Writes src/kernels/shaders.ts: every shaders/*.wgsl as a string, with its `// include: name` lines resolved, so that Node,
 * bundlers and browsers need no loader. `npm run shaders` after any change; a test fails when the module has drifted.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const folder = new URL('../shaders/', import.meta.url);
export const target = new URL('../src/kernels/shaders.ts', import.meta.url);

function source(name: string): string {
  return readFileSync(new URL(`${name}.wgsl`, folder), 'utf8').replaceAll(
    /^ *\/\/ include: (\w+)\n/gm,
    (_, included: string) => source(included),
  );
}

/** A shader without what only people read: comments but those that `specialise` heeds, indentation, empty lines. */
export function compact(code: string): string {
  return code
    .split('\n')
    .map((line) => (/\/\/ (unroll|end|(where|unless) \w+:?)$/.test(line) ? line : line.replace(/\/\/.*$/, '')).trim())
    .filter((line) => line !== '')
    .join('\n');
}

/** The text of the module as it should be. */
export function generate(transform = (code: string) => code): string {
  const names = readdirSync(folder)
    .filter((file) => file.endsWith('.wgsl'))
    .map((file) => file.slice(0, -'.wgsl'.length))
    .filter((name) => source(name).includes('@compute'))
    .sort();
  const entries = names.map((name) => `  ${name}: ${JSON.stringify(transform(source(name)))},\n`);
  return `// Made from shaders/*.wgsl by \`npm run shaders\`: edit those.\nexport const SHADERS = {\n${entries.join('')}};\n`;
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  writeFileSync(target, generate());
}

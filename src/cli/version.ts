import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** energate's own version: src/ and dist/ lie at different depths below its package.json. */
export function ownVersion(): string {
  return versionAbove(fileURLToPath(import.meta.url));
}

/** The version of an installed package; undefined where it is not installed. */
export function installedVersion(name: string): string | undefined {
  try {
    return versionAbove(createRequire(import.meta.url).resolve(name));
  } catch {
    return undefined;
  }
}

/** From the nearest package.json with a version: packages hold others, such as `{"type": "commonjs"}`, within. */
function versionAbove(path: string): string {
  const folder = dirname(path);
  if (folder === path) throw new Error(`no package.json above ${path}`);
  const file = join(folder, 'package.json');
  const { version } = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
  return version ?? versionAbove(folder);
}

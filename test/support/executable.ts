import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** What an environment variable says, where it is set; else the first in the search path, or of `applications`. */
export function findExecutable(
  variable: string,
  names: readonly string[],
  applications: readonly string[] = [],
): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const paths = [...folders.flatMap((folder) => names.map((name) => join(folder, name))), ...applications];
  return process.env[variable] ?? paths.find(existsSync);
}

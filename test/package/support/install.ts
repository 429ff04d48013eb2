import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

export const tool = (name: string): string => join(ROOT, 'node_modules', '.bin', name);

/** Runs a command. @throws where it fails, with all that it wrote */
export function run(command: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = {}): string {
  try {
    return execFileSync(command, args, { cwd, env: { ...process.env, ...env }, encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${command} ${args.join(' ')} failed:\n${stdout}\n${stderr}`);
  }
}

/** The package as `npm publish` would send it. @returns the path of its .tgz in `folder` */
export function pack(folder: string): string {
  run(tool('tsx'), ['scripts/build.ts'], ROOT);
  const [packed] = JSON.parse(
    run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], ROOT),
  ) as [{ filename: string }];
  return join(folder, packed.filename);
}

/**
 * An empty project of ES modules, with the packed package in its node_modules as npm puts it there, and beside it this
 * repository's copies of `packages`: no network is needed.
 */
export function installInto(folder: string, tarball: string, packages: readonly string[]): void {
  const modules = join(folder, 'node_modules');
  mkdirSync(modules, { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'project', private: true, type: 'module' }));
  run('tar', ['xzf', tarball, '-C', modules], folder);
  cpSync(join(modules, 'package'), join(modules, 'energate'), { recursive: true });
  for (const name of packages) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules', name), join(modules, name), 'dir');
  }
}

export const temporaryFolder = (): string => mkdtempSync(join(tmpdir(), 'energate-package-'));

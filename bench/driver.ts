import { execFileSync } from 'node:child_process';
import type { Adapter } from './results.js';

/** The graphics driver as it calls itself: by the vendor's tool or Vulkan's for a GPU; software adapters say it themselves. */
export function driverOf(adapter: Adapter | undefined): string {
  const description = adapter?.description ?? '';
  if (/llvmpipe|lavapipe|swiftshader/i.test(`${adapter?.device} ${description}`)) return description;
  return (
    (/nvidia/i.test(adapter?.vendor ?? '') &&
      output('nvidia-smi', ['--query-gpu=name,driver_version', '--format=csv,noheader'])) ||
    /driverInfo\s*=\s*(.+)/.exec(output('vulkaninfo', ['--summary']))?.[1] ||
    description
  );
}

/** The commit of this repository; undefined where there is none, or no git. */
export const commitOf = (): string | undefined => output('git', ['rev-parse', 'HEAD']) || undefined;

function output(command: string, args: string[]): string {
  try {
    const cwd = new URL('.', import.meta.url);
    return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return '';
  }
}

import { execFileSync } from 'node:child_process';

/** The graphics driver as it calls itself, from whichever of the usual tools is installed; else empty. */
export function driverOf(): string {
  return (
    output('nvidia-smi', ['--query-gpu=name,driver_version', '--format=csv,noheader']) ||
    /driverInfo\s*=\s*(.+)/.exec(output('vulkaninfo', ['--summary']))?.[1] ||
    ''
  );
}

function output(command: string, args: string[]): string {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return '';
  }
}

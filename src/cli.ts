#!/usr/bin/env node
import { main } from './cli/main.js';
import { reason } from './node/files.js';

// Who reads may stop early, as `| head` does, and as `| tee` does at the same Ctrl-C: the work goes on, unheard.
process.stderr.on('error', () => {});
let failed = false;
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE' || failed) return;
  failed = true;
  console.error(`energate: cannot write standard output: ${reason(error)}`);
  process.exitCode = 1;
});
process.exitCode = await main(process.argv.slice(2));

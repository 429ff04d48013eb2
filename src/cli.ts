#!/usr/bin/env node
import { main } from './cli/main.js';
import { watchOutput } from './cli/output.js';

watchOutput();
// What standard output failed at counts, too.
process.exitCode = (await main(process.argv.slice(2))) || process.exitCode || 0;

// Reads damaged files of every format, and says what became of them: a line of JSON a format.
// Arguments: a folder to put files in, how many of each format, and formats if not all.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EnergateError } from '../../src/errors.js';
import { FORMATS } from './formats.js';
import { Random } from './mutate.js';

const baseline = process.memoryUsage().rss;
const [folder, count, ...names] = process.argv.slice(2);
for (const format of FORMATS.filter(({ name }) => names.length === 0 || names.includes(name))) {
  const report = {
    format: format.name,
    read: 0,
    refused: 0,
    slowest: 0,
    peak: 0,
    failures: [] as string[],
  };
  const path = join(folder!, 'file');
  for (let seed = 0; seed < Number(count); seed++) {
    const bytes = await format.damage(new Random(seed));
    if (format.onDisk) writeFileSync(path, bytes);
    // Of this process alone: others may be at work beside it.
    const before = process.cpuUsage();
    try {
      await format.read(bytes, path);
      report.read++;
    } catch (error) {
      const { message } = error as Error;
      if (!(error instanceof EnergateError)) report.failures.push(`seed ${seed}: ${(error as Error).stack ?? error}`);
      else if (/[\n\r]/.test(message) || message.length > 1000)
        report.failures.push(`seed ${seed}: not one line: ${message}`);
      else report.refused++;
    }
    const { user, system } = process.cpuUsage(before);
    report.slowest = Math.max(report.slowest, (user + system) / 1e6);
  }
  report.peak = process.resourceUsage().maxRSS * 1024 - baseline;
  report.failures.length = Math.min(report.failures.length, 5);
  console.log(JSON.stringify(report));
}

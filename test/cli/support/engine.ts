// Opens an engine as a program that uses the library does (`library`), or as the commands do (`command`, `quiet`).
import { openAnnouncedEngine } from '../../../src/cli/engine.js';
import { openEngine } from '../../../src/node.js';

try {
  const how = process.argv[2];
  const engine = how === 'library' ? await openEngine() : await openAnnouncedEngine({ quiet: how === 'quiet' });
  console.log(engine.adapter.description, engine.tuner ? 'with a tuner' : 'without a tuner');
  engine.destroy();
} catch (error) {
  const { name, message } = error as Error;
  console.log(`${name}: ${message}`);
}

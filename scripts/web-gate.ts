/**
 * `npm run web`, first half: web/public/shapes.energate, the gate that the page begins with. It is the embedded network,
 * calibrated on embedded images that it was not trained on.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { openAnnouncedEngine } from '../src/cli/engine.js';
import { Exit } from '../src/cli/exit.js';
import { writeFileAtomic } from '../src/node/files.js';
import { calibrateGate, decodeNetwork, encodeGate, readSafetensors, syntheticImages } from '../src/node.js';

const at = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const weights = 'weights/wrn-10-1-shapes.safetensors';

const engine = await openAnnouncedEngine({}).catch((error: unknown) => {
  // Without a driver this script has run a second time, on SwiftShader.
  if (error instanceof Exit) process.exit(error.code);
  throw error;
});
const network = decodeNetwork(readSafetensors(await readFile(at(weights)), weights), weights);
const held = syntheticImages({ seed: 1, count: 1000, split: 'validation' });
const gate = await calibrateGate(engine, network, held, { accept: 0.95 });
engine.destroy();

await mkdir(at('web/public'), { recursive: true });
await writeFileAtomic(at('web/public/shapes.energate'), await encodeGate(gate));
console.log('web/public/shapes.energate: the gate of the page');

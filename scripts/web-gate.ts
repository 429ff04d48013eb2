/**
 * `npm run web`, first half: web/public/shapes.energate, the gate that the page begins with. It is the embedded network,
 * calibrated on embedded images that it was not trained on.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { writeFileAtomic } from '../src/node/files.js';
import { calibrateGate, decodeNetwork, encodeGate, openEngine, readSafetensors, syntheticImages } from '../src/node.js';

const at = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const weights = 'weights/wrn-10-1-shapes.safetensors';

const engine = await openEngine();
const network = decodeNetwork(readSafetensors(await readFile(at(weights)), weights), weights);
const held = syntheticImages({ seed: 1, count: 1000, split: 'validation' });
const gate = await calibrateGate(engine, network, held, { accept: 0.95 });
engine.destroy();

await mkdir(at('web/public'), { recursive: true });
await writeFileAtomic(at('web/public/shapes.energate'), await encodeGate(gate));
console.log('web/public/shapes.energate: the gate of the page');

// A gate in a Node script: calibrate it, keep it as a file, ask it. Run it with `node examples/gate.mjs` after `npm run build`;
// in a project of yours, after `npm install energate webgpu`.
import { readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  calibrateGate,
  Detector,
  decodeNetwork,
  encodeGate,
  openEngine,
  readStateDict,
  syntheticImages,
  syntheticOod,
} from 'energate/node';

const engine = await openEngine();

// A network that comes with the package: ten classes of drawn shapes. Yours is a file that `energate train` wrote, or PyTorch.
const name = 'wrn-10-1-shapes.safetensors';
const weights = await readFile(new URL(`weights/${name}`, import.meta.resolve('energate/package.json')));
const network = decodeNetwork(readStateDict(weights, name), name);

// τ is chosen on images that the network was not trained on: 95 % of such images are to be accepted.
const heldOut = syntheticImages({ seed: 2, count: 200, split: 'test' });
const gate = await calibrateGate(engine, network, heldOut, { accept: 0.95 });
const file = join(tmpdir(), `shapes-${process.pid}.energate`);
await writeFile(file, await encodeGate(gate));

const detector = await Detector.load(engine, await readFile(file));
const count = async (images) => (await detector.check(images)).filter(({ accepted }) => accepted).length;
console.log(`shapes it knows: ${await count(syntheticImages({ seed: 3, count: 100, split: 'test' }))} of 100 accepted`);
console.log(`drawn scenes: ${await count(syntheticOod('scenes', { seed: 3, count: 100 }))} of 100 accepted`);
const [{ accepted, className, label, energy, pValue }] = await detector.check({
  data: new Uint8Array(48 * 64 * 3).fill(128),
  width: 64,
  height: 48,
});
console.log(
  `a grey picture: ${accepted ? 'accepted' : 'refused'}, ${className ?? `class ${label}`}, energy ${energy.toFixed(2)}, p = ${pValue.toFixed(3)}`,
);

detector.destroy();
engine.destroy();

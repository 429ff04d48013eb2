import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Images } from '../../data/image-set.js';
import { toFloat32 } from '../../formats/array.js';
import { readNpz, writeNpz } from '../../formats/npz.js';
import { fingerprint } from '../../nn/checkpoint.js';
import type { Outputs } from '../../nn/classifier.js';
import { featuresOf, type Network } from '../../nn/network.js';
import { encodeNetwork } from '../../nn/network-file.js';
import type { OutputMemory } from '../../nn/scorer.js';
import { writeFileAtomic } from '../../node/files.js';
import type { Perturbation } from '../../ood/scores.js';
import { ownVersion } from '../version.js';

/** SHA-256 of texts and bytes, as 16 hexadecimal digits: the name of a file that holds what was made of them. */
export function keyOf(...parts: readonly (string | ArrayBufferView)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) {
    hash.update(typeof part === 'string' ? `${part}\n` : new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
  }
  return hash.digest('hex').slice(0, 16);
}

/**
 * A folder that keeps what networks said of image sets, so that a command that was stopped goes on where it was. Files are
 * named by the fingerprints of the network, the images, the input step and the version: nothing is taken for anything else.
 */
export class FolderMemory implements OutputMemory {
  readonly folder: string;
  private readonly known = new WeakMap<object, Promise<string>>();

  constructor(folder: string) {
    this.folder = folder;
  }

  fingerprintOf(of: Images | Network): Promise<string> {
    let print = this.known.get(of);
    if (!print) {
      print = 'config' in of ? Promise.resolve(keyOf(encodeNetwork(of))) : fingerprint(of);
      this.known.set(of, print);
    }
    return print;
  }

  async get(network: Network, set: Images, perturbation: Perturbation | undefined): Promise<Outputs | undefined> {
    const path = await this.pathOf(network, set, perturbation);
    const bytes = await readFile(path).catch(() => undefined);
    if (!bytes) return undefined;
    try {
      const npz = readNpz(bytes, path);
      const outputs = { logits: toFloat32(npz.get('logits')), features: toFloat32(npz.get('features')) };
      const { classes } = network.config;
      const isWhole =
        outputs.logits.length === set.count * classes &&
        outputs.features.length === set.count * featuresOf(network.config);
      return isWhole ? outputs : undefined;
    } catch {
      return undefined; // damaged: it is made again
    }
  }

  async put(network: Network, set: Images, perturbation: Perturbation | undefined, outputs: Outputs): Promise<void> {
    const path = await this.pathOf(network, set, perturbation);
    const { logits, features } = outputs;
    await mkdir(this.folder, { recursive: true });
    await writeFileAtomic(
      path,
      writeNpz({
        logits: { dtype: 'float32', shape: [set.count, logits.length / set.count], data: logits },
        features: { dtype: 'float32', shape: [set.count, features.length / set.count], data: features },
      }),
    );
  }

  private async pathOf(network: Network, set: Images, perturbation: Perturbation | undefined): Promise<string> {
    const values = Object.values(perturbation ?? {});
    const key = keyOf(
      ownVersion(),
      await this.fingerprintOf(network),
      await this.fingerprintOf(set),
      JSON.stringify(values.filter((value) => !ArrayBuffer.isView(value))),
      ...values.filter((value) => ArrayBuffer.isView(value)),
    );
    return join(this.folder, `outputs-${key}.npz`);
  }
}

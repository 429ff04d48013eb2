import { basename, extname } from 'node:path';
import type { Command } from 'commander';
import { UsageError } from '../errors.js';
import { writeTorch } from '../formats/torch-writer.js';
import type { Normalization } from '../kernels/gather-images.js';
import { type Network, parameterCount, stateDictOf } from '../nn/network.js';
import { decodeNetwork, encodeNetwork } from '../nn/network-file.js';
import { checkWritable, readStateDict, writeFileAtomic } from '../node/files.js';
import { addExamples, addQuiet, normalization } from './options.js';

const toTorch = (network: Network) => writeTorch(stateDictOf(network));
const ENCODERS: Readonly<Record<string, (network: Network) => Uint8Array>> = {
  '.safetensors': encodeNetwork,
  '.pt': toTorch,
  '.pth': toTorch,
};

export function defineConvert(command: Command): void {
  command
    .description(
      "Convert a network between weight formats, after checking it. The format of A is read off its content, that of B off its name.\nPyTorch's files hold no normalisation: it stays in .safetensors alone.",
    )
    .argument('<A>', 'the network: .safetensors, or a PyTorch file of either format')
    .argument('<B>', `the file to write: ${Object.keys(ENCODERS).join(', ')}`)
    .option('--normalize <how>', 'cifar, none or "r,g,b/r,g,b" (default: what A says, else cifar)', normalization);
  addQuiet(command);
  command.action(convert);
  addExamples(command, [
    [
      'From PyTorch, for a network that takes pixels in 0..1',
      'energate convert net.pth.tar net.safetensors --normalize none',
    ],
    ['To PyTorch', 'energate convert tuned.safetensors tuned.pt'],
  ]);
}

async function convert(from: string, to: string, args: { normalize?: Normalization; quiet?: true }): Promise<void> {
  const encode = ENCODERS[extname(to)];
  if (!encode) throw new UsageError(`${to}: give a name that ends in ${Object.keys(ENCODERS).join(', ')}`);
  await checkWritable(to);
  const network = decodeNetwork(await readStateDict(from), from, args.normalize);
  await writeFileAtomic(to, encode(network));
  const { depth, width, classes } = network.config;
  if (!args.quiet) {
    console.log(
      `${basename(to)}: WRN-${depth}-${width}, ${classes} classes, ${parameterCount(network.config)} parameters`,
    );
  }
}

import type { Published } from './download.js';

/** A public image set: what it is, and the file that holds it. */
export interface DataSet extends Published {
  readonly description: string;
}

const CIFAR = 'https://www.cs.toronto.edu/~kriz';
const SVHN = 'http://ufldl.stanford.edu/housenumbers';
const ODIN = 'https://www.dropbox.com/s/raw';

/**
 * The sets of the paper and its outliers, by name, at the addresses that their authors gave. Sizes and MD5 sums are those that
 * the authors or torchvision publish (of the LSUN crops, pytorch-ood); where there is none, it is left out.
 */
export const DATA_SETS: Readonly<Record<string, DataSet>> = {
  cifar10: {
    description: 'CIFAR-10, 50,000 and 10,000 images of 10 classes (binary version)',
    url: `${CIFAR}/cifar-10-binary.tar.gz`,
    size: 170_052_171,
    md5: 'c32a1d4ab5d03f1284b67883e8d87530',
  },
  'cifar10-python': {
    description: 'the same in the python version',
    url: `${CIFAR}/cifar-10-python.tar.gz`,
    size: 170_498_071,
    md5: 'c58f30108f718f92721af3b95e74349a',
  },
  cifar100: {
    description: 'CIFAR-100, 50,000 and 10,000 images of 100 classes (binary version)',
    url: `${CIFAR}/cifar-100-binary.tar.gz`,
    size: 168_513_733,
    md5: '03b5dce01913d631647c71ecec9e9cb8',
  },
  'cifar100-python': {
    description: 'the same in the python version',
    url: `${CIFAR}/cifar-100-python.tar.gz`,
    size: 169_001_437,
    md5: 'eb9058c3a382ffc7106e4002c42a8d85',
  },
  'svhn-test': {
    description: 'SVHN, 26,032 digits',
    url: `${SVHN}/test_32x32.mat`,
    size: 64_275_384,
    md5: 'eb5a983be6a315427106f1b164d9cef3',
  },
  'svhn-train': {
    description: 'SVHN, 73,257 digits',
    url: `${SVHN}/train_32x32.mat`,
    size: 182_040_794,
    md5: 'e26dedcc434d2e4c54c9b2d4a06d8373',
  },
  dtd: {
    description: 'Describable Textures, 5,640 pictures of 47 classes',
    url: 'https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz',
    size: 625_239_812,
    md5: 'fff73e5086ae6bdbea199a49dfb8a4c1',
  },
  'places365-val': {
    description: 'Places365 validation, 36,500 pictures',
    url: 'http://data.csail.mit.edu/places/places365/val_256.tar',
    size: 525_158_400,
    md5: 'e27b17d8d44f4af9a78502beb927f808',
  },
  'lsun-crop': {
    description: 'LSUN, 10,000 crops of 32 x 32',
    url: `${ODIN}/fhtsw1m3qxlwj6h/LSUN.tar.gz`,
    md5: '458a0a0ab8e5f1cb4516d7400568e460',
  },
  'lsun-resize': {
    description: 'LSUN, 10,000 pictures scaled to 32 x 32',
    url: `${ODIN}/moqh2wh8696c3yl/LSUN_resize.tar.gz`,
    md5: '278b7b31c8cb7e804a1465a8ce03a2dc',
  },
  isun: {
    description: 'iSUN, 8,925 pictures scaled to 32 x 32',
    url: `${ODIN}/ssz7qxfqae0cca5/iSUN.tar.gz`,
  },
  '300k-random-images': {
    description: '300K Random Images, outliers for training',
    url: 'https://people.eecs.berkeley.edu/~hendrycks/300K_random_images.npy',
  },
};

/** The address of a set's file, at its own place or under another that has it by the same name. */
export function addressOf({ url }: DataSet, mirror?: string): string {
  return mirror === undefined ? url : `${mirror.replace(/\/+$/, '')}/${fileNameOf(url)}`;
}

/** What the file is called. */
export const fileNameOf = (url: string): string => new URL(url).pathname.split('/').at(-1)!;

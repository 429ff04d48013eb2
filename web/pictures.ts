import { CLASS_NAMES, DataError, type ImageSet } from '../src/index.js';
import type { EngineClient } from './engine/client.js';
import { BYTES, type Shown } from './session.js';

/** The names in the clipboard and on phones say nothing. */
const nameOf = (file: Blob): string => (file instanceof File && file.name ? file.name : 'pasted picture');

/** So many files are decoded at a time: a photograph takes some 50 MB until it is fitted. */
const AT_ONCE = 4;

/**
 * Files as pictures.
 * @returns those that could be read, and the names of those that are no picture, or too large for a canvas
 */
export async function readPictures(
  client: EngineClient,
  files: readonly Blob[],
): Promise<{ pictures: Shown[]; refused: string[] }> {
  const { read, refused } = await readPixels(client, files);
  // A URL holds its file until it is revoked: they are made when nothing can fail any more.
  return { pictures: read.map(({ file, pixels }) => shown(nameOf(file), pixels, URL.createObjectURL(file))), refused };
}

/** What the network sees of files, in their order. */
async function readPixels(
  client: EngineClient,
  files: readonly Blob[],
): Promise<{ read: { file: Blob; pixels: Uint8Array }[]; refused: string[] }> {
  const fitted: (Uint8Array | undefined)[] = [];
  const entries = files.entries();
  const readInTurn = async () => {
    for (const [i, file] of entries) {
      const bitmap = await createImageBitmap(file).catch(() => undefined);
      fitted[i] = bitmap && (await client.call('fit', bitmap));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, readInTurn));
  return {
    read: files.flatMap((file, i) => (fitted[i] ? [{ file, pixels: fitted[i] }] : [])),
    refused: files.filter((_, i) => !fitted[i]).map(nameOf),
  };
}

/** What a video shows now, as a picture. */
export async function readFrame(client: EngineClient, video: HTMLVideoElement, name: string): Promise<Shown> {
  const pixels = await client.call('fit', await createImageBitmap(video));
  if (!pixels) throw new DataError(`${name}: the picture is too large for a canvas`);
  return shown(name, pixels);
}

/** Files as one image set: pictures, or an .npz file. */
export async function readImages(client: EngineClient, files: readonly File[]): Promise<ImageSet> {
  const archive = files.find(({ name }) => /\.npz$/i.test(name));
  if (archive && files.length > 1) throw new DataError(`${archive.name} is a set of images: choose it alone`);
  if (archive) return client.call('readSet', new Uint8Array(await archive.arrayBuffer()), archive.name);
  const { read, refused } = await readPixels(client, files);
  if (refused.length > 0) throw new DataError(`${refused.join(', ')}: not a picture that this browser can read`);
  const images = new Uint8Array(read.length * BYTES);
  read.forEach(({ pixels }, i) => {
    images.set(pixels, i * BYTES);
  });
  return { name: 'pictures', images, count: read.length, height: 32, width: 32 };
}

/** Images of a set as pictures; labels, where it has any, are their true classes. */
export function picturesOf({ images, count, labels, classNames = CLASS_NAMES }: ImageSet, name: string): Shown[] {
  return Array.from({ length: count }, (_, i) => {
    const picture = shown(name, pixelsAt(images, i));
    return labels ? { ...picture, truth: classNames[labels[i]!]! } : picture;
  });
}

const pixelsAt = (images: Uint8Array, i: number) => images.slice(i * BYTES, (i + 1) * BYTES);

function shown(name: string, pixels: Uint8Array, url?: string): Shown {
  const thumbnail = draw(pixels);
  return { name, pixels, thumbnail, url: url ?? thumbnail };
}

/** 32 x 32 pixels as the URL of an image. */
function draw(pixels: Uint8Array): string {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 32;
  const image = new ImageData(32, 32);
  for (let i = 0; i < 1024; i++) {
    image.data.set(pixels.subarray(3 * i, 3 * i + 3), 4 * i);
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext('2d')!.putImageData(image, 0, 0);
  return canvas.toDataURL();
}

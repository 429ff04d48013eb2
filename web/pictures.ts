import { CLASS_NAMES, DataError, type ImageSet } from '../src/index.js';
import type { EngineClient } from './engine/client.js';
import { BYTES, type Shown } from './session.js';

/** The names in the clipboard and on phones say nothing. */
const nameOf = (file: Blob): string => (file instanceof File && file.name ? file.name : 'pasted picture');

/**
 * Files as pictures.
 * @returns those that could be read, and the names of those that are no picture
 */
export async function readPictures(
  client: EngineClient,
  files: readonly Blob[],
): Promise<{ pictures: Shown[]; refused: string[] }> {
  const read = await Promise.allSettled(files.map((file) => createImageBitmap(file)));
  const refused = files.filter((_, i) => read[i]!.status === 'rejected').map(nameOf);
  const good = files.filter((_, i) => read[i]!.status === 'fulfilled');
  const bitmaps = read.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  if (bitmaps.length === 0) return { pictures: [], refused };
  const { images } = await client.call('fit', bitmaps);
  const pictures = good.map((file, i) => shown(nameOf(file), pixelsAt(images, i), URL.createObjectURL(file)));
  return { pictures, refused };
}

/** What a video shows now, as a picture. */
export async function readFrame(client: EngineClient, video: HTMLVideoElement, name: string): Promise<Shown> {
  const { images } = await client.call('fit', [await createImageBitmap(video)]);
  return shown(name, images);
}

/** Files as one image set: pictures, or an .npz file. */
export async function readImages(client: EngineClient, files: readonly File[]): Promise<ImageSet> {
  const [archive] = files.filter(({ name }) => name.endsWith('.npz'));
  if (archive) return client.call('readSet', new Uint8Array(await archive.arrayBuffer()), archive.name);
  const { pictures, refused } = await readPictures(client, files);
  for (const { url } of pictures) URL.revokeObjectURL(url);
  if (refused.length > 0) throw new DataError(`${refused.join(', ')}: not a picture that this browser can read`);
  const images = new Uint8Array(pictures.length * BYTES);
  pictures.forEach(({ pixels }, i) => {
    images.set(pixels, i * BYTES);
  });
  return { name: 'pictures', images, count: pictures.length, height: 32, width: 32 };
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

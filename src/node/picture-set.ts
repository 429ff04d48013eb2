import { availableParallelism } from 'node:os';
import { basename, relative, sep } from 'node:path';
import type { ImageSet } from '../data/image-set.js';
import { quote } from '../formats/array.js';
import { fitPicture } from '../gate/resize.js';
import { decodePicture, readPicture } from './pictures.js';

/** The height and width of the images that networks take. */
const SIZE = 32;
const IMAGE_BYTES = SIZE * SIZE * 3;

/**
 * Picture files as an image set, in the order given: the short side scaled to 32, the middle of the long one (`fitPicture`;
 * 32 x 32 stays as it is). Where every picture lies in one of several subfolders, these are its classes, numbered by name.
 * @param root the folder they lie in, or the file itself
 * @throws {DataError} if one of them cannot be read.
 */
export async function imageSetFromPictures(paths: readonly string[], root: string): Promise<ImageSet> {
  const images = new Uint8Array(paths.length * IMAGE_BYTES);
  let next = 0;
  const work = async () => {
    for (let i = next++; i < paths.length; i = next++) {
      images.set(fitPicture(await readPicture(paths[i]!), SIZE), i * IMAGE_BYTES);
    }
  };
  // Decoding happens on threads beside this one.
  await Promise.all(Array.from({ length: availableParallelism() + 1 }, work));
  const names = paths.map((path) => relative(root, path).split(sep).join('/'));
  return pictureSet(images, names, root);
}

/** Pictures that come one after the other, such as from an archive. */
export class PictureCollector {
  private readonly pictures: { readonly name: string; readonly pixels: Uint8Array }[] = [];

  get count(): number {
    return this.pictures.length;
  }

  /** @throws {DataError} if the picture is damaged. */
  async add(name: string, bytes: Uint8Array): Promise<void> {
    this.pictures.push({ name, pixels: fitPicture(await decodePicture(bytes, name), SIZE) });
  }

  /** The set, sorted by name as a folder's is. */
  finish(source: string): ImageSet {
    const sorted = this.pictures.sort((a, b) => (a.name < b.name ? -1 : 1));
    const images = new Uint8Array(sorted.length * IMAGE_BYTES);
    sorted.forEach(({ pixels }, i) => {
      images.set(pixels, i * IMAGE_BYTES);
    });
    return pictureSet(
      images,
      sorted.map(({ name }) => name),
      source,
    );
  }
}

function pictureSet(images: Uint8Array, names: readonly string[], source: string): ImageSet {
  const name = basename(source).replace(/\.(tar\.gz|tgz|tar|png|jpe?g|webp)$/i, '');
  return { name, source, images, count: names.length, height: SIZE, width: SIZE, ...classesOf(names) };
}

/** Classes by the first folder in which paths differ, where each lies in one and there are several. */
function classesOf(names: readonly string[]): Pick<ImageSet, 'labels' | 'classNames'> {
  const folders = names.map((name) => name.split('/').slice(0, -1));
  const depth = folders[0]!.findIndex((folder, level) => folders.some((other) => other[level] !== folder));
  if (depth < 0 || folders.some((folder) => folder.length <= depth)) return {};
  const classNames = [...new Set(folders.map((folder) => folder[depth]!))].sort();
  const numbers = new Map(classNames.map((name, label) => [name, label]));
  return {
    labels: Int32Array.from(folders, (folder) => numbers.get(folder[depth]!)!),
    classNames: classNames.map(quote),
  };
}

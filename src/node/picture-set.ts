import { basename, relative, sep } from 'node:path';
import { type ImageProperties, type Images, readByNumber } from '../data/image-set.js';
import { quote } from '../formats/array.js';
import { fitPicture } from '../gate/resize.js';
import { inParallel } from './files.js';
import { DECODED_AT_ONCE, decodePicture, readPicture } from './pictures.js';
import { openSpool, type Spool } from './spool.js';

/** The height and width of the images that networks take. */
const SIZE = 32;
const IMAGE_BYTES = SIZE * SIZE * 3;

/**
 * Picture files as an image set, in the order given: the short side scaled to 32, the middle of the long one (`fitPicture`;
 * 32 x 32 stays as it is). Where every picture lies in one of several subfolders, these are its classes, numbered by name.
 * @param root the folder they lie in, or the file itself
 * @param inMemory of more than so many, each is decoded when it is first asked for, and kept in a temporary file
 * @throws {DataError} if one of them cannot be read: now, or when it is asked for
 */
export async function imagesFromPictures(paths: readonly string[], root: string, inMemory: number): Promise<Images> {
  const names = paths.map((path) => relative(root, path).split(sep).join('/'));
  const properties = propertiesOf(names, root);
  const read = async (i: number) => fitPicture(await readPicture(paths[i]!), SIZE);
  if (paths.length <= inMemory) {
    const images = new Uint8Array(paths.length * IMAGE_BYTES);
    await inParallel(paths.length, DECODED_AT_ONCE, async (i) => images.set(await read(i), i * IMAGE_BYTES));
    return { ...properties, images };
  }
  // Made when the first is asked for, and no larger than what is: a few of very many may be wanted.
  let opening: Promise<Spool> | undefined;
  const spool = () => {
    opening ??= openSpool(0, root);
    return opening;
  };
  const kept = new Uint8Array(paths.length);
  return fromSpool(properties, spool, async (i) => {
    if (!kept[i]) await (await spool()).write(await read(i), i * IMAGE_BYTES);
    kept[i] = 1;
    return i;
  });
}

/** Pictures of an archive that are decoded together: so many files are in memory. */
const TOGETHER = 4 * DECODED_AT_ONCE;

/** Pictures that come one after the other, such as from an archive; of more than `inMemory`, all in a temporary file. */
export class PictureCollector {
  private readonly names: string[] = [];
  private readonly source: string;
  private readonly inMemory: number;
  /** The last of them, not decoded yet. */
  private waiting: Uint8Array[] = [];
  /** Those before that, unless they are in the spool. */
  private images: Uint8Array[] = [];
  private spool: Spool | undefined;

  constructor(source: string, inMemory: number) {
    this.source = source;
    this.inMemory = inMemory;
  }

  get count(): number {
    return this.names.length;
  }

  /** @throws {DataError} if this picture, or one before it, is damaged. */
  async add(name: string, bytes: Uint8Array): Promise<void> {
    this.names.push(name);
    this.waiting.push(bytes);
    if (this.waiting.length === TOGETHER) await this.decode();
  }

  private async decode(): Promise<void> {
    const { waiting } = this;
    const first = this.count - waiting.length;
    this.waiting = [];
    const decoded: Uint8Array[] = [];
    await inParallel(waiting.length, DECODED_AT_ONCE, async (i) => {
      decoded[i] = fitPicture(await decodePicture(waiting[i]!, this.names[first + i]!), SIZE);
    });
    this.images.push(...decoded);
    if (this.count <= this.inMemory) return;
    this.spool ??= await openSpool(this.count * IMAGE_BYTES, this.source);
    const start = this.count - this.images.length;
    for (const [i, image] of this.images.entries()) await this.spool.write(image, (start + i) * IMAGE_BYTES);
    this.images = [];
  }

  /**
   * The set, sorted by name as a folder's is.
   * @throws {DataError} if one of the last pictures is damaged.
   */
  async finish(): Promise<Images> {
    await this.decode();
    const { names, spool, images } = this;
    // Folder by folder: a/x.png comes before a-b/x.png, though - comes before /.
    const keys = names.map((name) => name.replaceAll('/', '\0'));
    const order = Uint32Array.from(keys.keys()).sort((a, b) => (keys[a]! < keys[b]! ? -1 : 1));
    const properties = propertiesOf(
      Array.from(order, (i) => names[i]!),
      this.source,
    );
    if (spool)
      return fromSpool(
        properties,
        async () => spool,
        async (i) => order[i]!,
      );
    const sorted = new Uint8Array(names.length * IMAGE_BYTES);
    order.forEach((from, to) => {
      sorted.set(images[from]!, to * IMAGE_BYTES);
    });
    return { ...properties, images: sorted };
  }
}

/** @param placeOf where the spool has an image, when it is there */
function fromSpool(
  properties: ImageProperties,
  spool: () => Promise<Spool>,
  placeOf: (i: number) => Promise<number>,
): Images {
  return readByNumber(properties, async (indices) => {
    const offsets: number[] = [];
    await inParallel(indices.length, DECODED_AT_ONCE, async (row) => {
      offsets[row] = (await placeOf(indices[row]!)) * IMAGE_BYTES;
    });
    return (await spool()).read(offsets, IMAGE_BYTES);
  });
}

function propertiesOf(names: readonly string[], source: string): ImageProperties {
  const name = basename(source).replace(/\.(tar\.gz|tgz|tar|png|jpe?g|webp)$/i, '');
  return { name, source, count: names.length, height: SIZE, width: SIZE, ...classesOf(names) };
}

/** Classes by the first folder in which paths differ, where each lies in one and there are several. */
function classesOf(names: readonly string[]): Pick<ImageProperties, 'labels' | 'classNames'> {
  const folderOf = (name: string) => name.slice(0, name.lastIndexOf('/') + 1);
  const folders = new Map(
    Array.from(new Set(names.map(folderOf)), (folder) => [folder, folder.split('/').slice(0, -1)]),
  );
  const all = [...folders.values()];
  const depth = all[0]!.findIndex((folder, level) => all.some((other) => other[level] !== folder));
  if (depth < 0 || all.some((folder) => folder.length <= depth)) return {};
  const classNames = [...new Set(all.map((folder) => folder[depth]!))].sort();
  const numbers = new Map(classNames.map((name, label) => [name, label]));
  return {
    labels: Int32Array.from(names, (name) => numbers.get(folders.get(folderOf(name))![depth]!)!),
    classNames: classNames.map(quote),
  };
}

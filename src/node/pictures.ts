import type { Dirent } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { extname, join } from 'node:path';
import { DataError } from '../errors.js';
import type { Picture } from '../gate/resize.js';
import { readFileBytes } from './files.js';

/** Endings of the picture files that are read. */
export const PICTURE_EXTENSIONS: readonly string[] = ['.png', '.jpg', '.jpeg', '.webp'];

/** Decoding happens on threads beside this one. */
export const DECODED_AT_ONCE = availableParallelism() + 1;

export const isPictureName = (path: string): boolean => PICTURE_EXTENSIONS.includes(extname(path).toLowerCase());

/**
 * The picture files under a path, sorted by name: the file itself, or all that lie in a folder and below it, also by links. Names
 * that begin with a dot are passed over.
 * @throws {DataError} if there is no such file or folder, it is no picture by its name, or the folder holds none.
 */
export async function listPictures(path: string): Promise<string[]> {
  const info = await stat(path).catch(() => undefined);
  if (!info) throw new DataError(`cannot read ${path}: there is no such file or folder; check the path`);
  if (!info.isDirectory()) {
    if (isPictureName(path)) return [path];
    throw new DataError(`${path} is not a picture: give ${PICTURE_EXTENSIONS.join(', ')} files, or a folder of them`);
  }
  const found: string[] = [];
  await walk(path, found, []);
  if (found.length === 0) throw new DataError(`${path} holds no picture: ${PICTURE_EXTENSIONS.join(', ')} are read`);
  return found;
}

/** @param above the folders that this one lies in, without symbolic links: a link to one of them would lead round for ever */
async function walk(folder: string, found: string[], above: readonly string[]): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: Error) => {
    throw new DataError(`cannot read ${folder}: ${error.message}; check its permissions`, { cause: error });
  });
  const here = await realpath(folder);
  if (above.includes(here)) return;
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.name.startsWith('.')) continue;
    const path = join(folder, entry.name);
    if (await isFolder(entry, path)) await walk(path, found, [...above, here]);
    else if (isPictureName(path)) found.push(path);
  }
}

/** Whether what a folder has at `path` is a folder, or a link to one. */
export async function isFolder(entry: Dirent, path: string): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}

/**
 * Decode a picture file: PNG, JPEG or WebP, by the optional peer dependency `sharp`. As browsers do it: turned as its
 * EXIF says, converted to sRGB where it carries a colour profile; of an animation, the first frame; what is transparent
 * is laid on black.
 * @returns its RGB bytes at its own size
 * @throws {DataError} if the file cannot be read or is damaged, or `sharp` is not installed.
 */
export async function readPicture(path: string): Promise<Picture> {
  return decodePicture(await readFileBytes(path), path);
}

/** {@link readPicture} of bytes. @param name what to call them in messages */
export async function decodePicture(bytes: Uint8Array, name: string): Promise<Picture> {
  const sharp = await loadSharp();
  if (!FORMATS.some((isFormat) => isFormat(bytes))) {
    throw new DataError(`${name} is not a picture: its bytes are neither PNG, JPEG nor WebP; convert it to one`);
  }
  try {
    const { data, info } = await sharp(bytes, { failOn: 'error' })
      .rotate()
      .flatten({ background: '#000' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    return { data: info.channels === 1 ? tripled(data) : data, width: info.width, height: info.height };
  } catch (error) {
    throw new DataError(`${name} cannot be decoded (${oneLine(error)}): the file is damaged, save it again`, {
      cause: error,
    });
  }
}

/** By their first bytes. sharp reads more (SVG, PDF, GIF), which programs that take pictures from strangers should not. */
const FORMATS: readonly ((bytes: Uint8Array) => boolean)[] = [
  (bytes) => startsWith(bytes, 0, '\x89PNG\r\n\x1a\n'),
  (bytes) => startsWith(bytes, 0, '\xff\xd8\xff'),
  (bytes) => startsWith(bytes, 0, 'RIFF') && startsWith(bytes, 8, 'WEBP'),
];

const startsWith = (bytes: Uint8Array, at: number, text: string): boolean =>
  Array.from(text).every((character, i) => bytes[at + i] === character.charCodeAt(0));

/** Grey as RGB. */
function tripled(grey: Uint8Array): Uint8Array {
  const rgb = new Uint8Array(grey.length * 3);
  grey.forEach((value, i) => {
    rgb.fill(value, i * 3, i * 3 + 3);
  });
  return rgb;
}

async function loadSharp(): Promise<typeof import('sharp')['default']> {
  try {
    return (await import('sharp')).default;
  } catch (error) {
    throw new DataError(
      `pictures are decoded by the package sharp, which cannot be loaded (${oneLine(error)}): npm install sharp`,
      { cause: error },
    );
  }
}

const oneLine = (error: unknown): string => (error as Error).message.trim().split('\n')[0]!;

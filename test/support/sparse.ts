import { type FileHandle, open } from 'node:fs/promises';
import { writeNpy } from '../../src/formats/npy.js';

/** An .npy file of `count` black images of 32 x 32, whose zeros take no room on the disk, still open. Data begin at byte 128. */
export async function sparseNpy(path: string, count: number): Promise<FileHandle> {
  const header = Buffer.from(
    writeNpy({ dtype: 'uint8', shape: [1, 32, 32, 3], data: new Uint8Array(3072) }).subarray(0, 128),
  );
  // As NumPy pads headers: the shape takes the place of spaces.
  header.write(header.toString('latin1').replace(/\(1, 32, 32, 3\)(.*?) {5}/, `(${count}, 32, 32, 3)$1`), 'latin1');
  const file = await open(path, 'w');
  await file.write(header, 0, 128, 0);
  await file.truncate(128 + count * 3072);
  return file;
}

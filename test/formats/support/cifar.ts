/** A pixel of the made-up CIFAR images: different for every image, channel and position. */
export const pixel = (image: number, channel: number, position: number) => (image * 7 + channel * 101 + position) % 256;

/** A CIFAR batch of two records whose labels begin at `first`, in planes, with `coarse` before the label where given. */
export function cifarBatch(first: number, coarse?: number): Uint8Array {
  const records = [first, first + 1].map((image) => [
    ...(coarse === undefined ? [] : [coarse]),
    image,
    ...[0, 1, 2].flatMap((channel) => Array.from({ length: 1024 }, (_, position) => pixel(image, channel, position))),
  ]);
  return Uint8Array.from(records.flat());
}

export const cifar10Files = (): Map<string, Uint8Array> =>
  new Map([
    ...[1, 2, 3, 4, 5].map((batch): [string, Uint8Array] => [`data_batch_${batch}.bin`, cifarBatch(batch)]),
    ['test_batch.bin', cifarBatch(8)],
    ['batches.meta.txt', new TextEncoder().encode('airplane\nautomobile\n\n')],
  ]);

/** An entry of a tar archive, by the ustar layout. */
export function tarEntry(name: string, data: Uint8Array, type = '0'): Uint8Array {
  const entry = new Uint8Array(512 + Math.ceil(data.length / 512) * 512);
  const put = (text: string, at: number) => entry.set(new TextEncoder().encode(text), at);
  put(name, 0);
  put(`${data.length.toString(8).padStart(11, '0')}\0`, 124);
  put('        ', 148);
  put(type, 156);
  put('ustar\x0000', 257);
  const sum = entry.reduce((total, byte) => total + byte, 0);
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  entry.set(data, 512);
  return entry;
}

export const tar = (...entries: Uint8Array[]): Uint8Array =>
  Uint8Array.from([...entries, new Uint8Array(1024)].flatMap((entry) => [...entry]));

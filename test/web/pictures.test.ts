import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { EngineClient } from '../../web/engine/client.js';
import { readImages, readPictures } from '../../web/pictures.js';

describe('files that the page is given', () => {
  /** Bitmaps that were decoded and not yet fitted: now, and at most. */
  let [open, most] = [0, 0];

  beforeEach(() => {
    [open, most] = [0, 0];
    vi.stubGlobal('createImageBitmap', async (file: File) => {
      if (file.type !== 'image/png') throw new Error('no picture');
      most = Math.max(most, ++open);
      return { name: file.name };
    });
    vi.stubGlobal(
      'ImageData',
      class {
        data = new Uint8ClampedArray(4096);
      },
    );
    const canvas = { getContext: () => ({ putImageData() {} }), toDataURL: () => 'data:' };
    vi.stubGlobal('document', { createElement: () => canvas });
  });

  afterEach(() => vi.unstubAllGlobals());

  /** Fits pictures, the first of them last; those called large cannot be drawn. */
  const client = {
    call: async (_: 'fit', { name }: { name: string }) => {
      await new Promise((resolve) => setTimeout(resolve, name === '0.png' ? 30 : 1));
      open--;
      return name.startsWith('large') ? undefined : new Uint8Array(3072).fill(Number.parseInt(name, 10));
    },
  } as unknown as EngineClient;
  const file = (name: string, type = 'image/png') => new File([], name, { type });
  const numbered = Array.from({ length: 20 }, (_, i) => file(`${i}.png`));

  it('are decoded a few at a time, and stay in order', async () => {
    const { pictures } = await readPictures(client, numbered);
    expect(pictures.map(({ name, pixels }) => [name, pixels[0]])).toEqual(numbered.map(({ name }, i) => [name, i]));
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThan(8);
  });

  it('are refused one by one', async () => {
    const files = [file('notes.txt', 'text/plain'), file('1.png'), file('large.png'), file('2.png')];
    const { pictures, refused } = await readPictures(client, files);
    expect(pictures.map(({ name }) => name)).toEqual(['1.png', '2.png']);
    expect(refused).toEqual(['notes.txt', 'large.png']);
  });

  it('are not held where the engine ends midway', async () => {
    const made = vi.spyOn(URL, 'createObjectURL');
    const ending = {
      call: async (_: 'fit', bitmap: { name: string }) => {
        if (bitmap.name === '10.png') throw new Error('the device was lost');
        return client.call('fit', bitmap as unknown as ImageBitmap);
      },
    } as unknown as EngineClient;
    await expect(readPictures(ending, numbered)).rejects.toThrow('the device was lost');
    expect(made).not.toHaveBeenCalled();
    made.mockRestore();
  });

  it('are no set of images where they are an .npz file among others', async () => {
    const sets = [file('a.npz', ''), file('b.npz', '')];
    await expect(readImages(client, sets)).rejects.toThrow(/^a\.npz is a set of images: choose it alone$/);
    await expect(readImages(client, [file('1.png'), file('C.NPZ', '')])).rejects.toThrow(/^C\.NPZ is a set of images/);
  });
});

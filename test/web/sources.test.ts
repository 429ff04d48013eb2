import { readFileSync } from 'node:fs';
import { build } from 'esbuild';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { decodeNetwork, encodeGate, readSafetensors } from '../../src/index.js';
import { launch } from '../support/browsers.js';
import { type Site, serve } from '../support/site.js';
import { describeIn } from './support.js';

/** What the page's script leaves there. */
interface Loaded {
  readonly energate: typeof import('../../src/index.js');
  gate: import('../../src/index.js').Detector;
  picture: ImageData;
}

describeIn('Detector with what only a browser can draw', (kind) => {
  let site: Site;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    const weights = readFileSync(new URL('../../weights/wrn-10-1-shapes.safetensors', import.meta.url));
    const gate = await encodeGate({
      network: decodeNetwork(readSafetensors(weights, 'weights'), 'weights'),
      precision: 'float32',
      score: 'energy',
      accept: 0.95,
      calibration: { scores: Float64Array.from({ length: 99 }, (_, i) => i / 10) },
    });
    const bundle = await build({
      entryPoints: [new URL('../../src/index.ts', import.meta.url).pathname],
      bundle: true,
      write: false,
      format: 'iife',
      globalName: 'energate',
      target: 'es2022',
    });
    site = await serve({
      'index.html': '<!doctype html><title>sources</title><script src="library.js"></script>',
      'library.js': bundle.outputFiles[0]!.contents,
      'gate.energate': gate,
    });
    browser = await launch(kind);
    page = await browser.newPage();
    await page.goto(site.url);
    await page.evaluate(async () => {
      const loaded = window as unknown as Loaded;
      const { Detector, Engine } = loaded.energate;
      const bytes = new Uint8Array(await (await fetch('gate.energate')).arrayBuffer());
      loaded.gate = await Detector.load(await Engine.open(), bytes, { batch: 1 });
      const picture = new ImageData(90, 61);
      for (let i = 0; i < picture.data.length; i++) picture.data[i] = i % 4 === 3 ? 255 : (i * i * 7 + i) % 256;
      loaded.picture = picture;
    });
  }, 120_000);

  afterAll(async () => {
    await browser?.close();
    await site?.close();
  });

  it.each(['ImageBitmap', 'HTMLCanvasElement', 'OffscreenCanvas', 'HTMLImageElement', 'VideoFrame'])(
    'takes a %s for the pixels that it shows, to the bit',
    async (kind) => {
      const energies = await page.evaluate(async (kind) => {
        const { gate, picture } = window as unknown as Loaded;
        const canvas = document.createElement('canvas');
        canvas.width = picture.width;
        canvas.height = picture.height;
        canvas.getContext('2d')!.putImageData(picture, 0, 0);
        const make: Record<string, () => Promise<CanvasImageSource>> = {
          ImageBitmap: () => createImageBitmap(picture),
          HTMLCanvasElement: async () => canvas,
          OffscreenCanvas: async () => {
            const offscreen = new OffscreenCanvas(picture.width, picture.height);
            offscreen.getContext('2d')!.putImageData(picture, 0, 0);
            return offscreen;
          },
          HTMLImageElement: async () => {
            const image = new Image();
            image.src = canvas.toDataURL();
            await image.decode();
            return image;
          },
          VideoFrame: async () => new VideoFrame(canvas, { timestamp: 0 }),
        };
        const source = (await make[kind]!()) as ImageBitmap;
        if (source.constructor.name !== kind) throw new Error(`this is a ${source.constructor.name}`);
        const [[drawn], [given]] = [await gate.check(source), await gate.check(picture)];
        return [drawn!.energy, given!.energy];
      }, kind);
      expect(energies[0]).toBe(energies[1]);
      expect(energies[0]).toBeLessThan(0);
    },
  );
});

/** The page as it is built, with a gate that Node calibrated, in a browser that notes everything it should not do. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { build } from 'vite';
import { describe } from 'vitest';
import {
  calibrateGate,
  decodeNetwork,
  type Engine,
  encodeGate,
  type Gate,
  readSafetensors,
  syntheticImages,
} from '../../src/node.js';
import { BROWSERS, type TestBrowser } from '../support/browsers.js';
import { type Site, serve } from '../support/site.js';

const root = new URL('../../', import.meta.url).pathname;

/** A suite for each browser, skipped where there is none. */
export function describeIn(title: string, suite: (kind: TestBrowser) => void): void {
  for (const kind of BROWSERS) {
    const why = kind.missing ? ` (skipped: ${kind.missing})` : '';
    describe.skipIf(kind.missing)(`${title}, in ${kind.name}${why}`, () => suite(kind));
  }
}

/** The gate that the page begins with, of few calibration images. */
export async function makeGate(engine: Engine): Promise<Gate> {
  const weights = readFileSync(join(root, 'weights/wrn-10-1-shapes.safetensors'));
  const network = decodeNetwork(readSafetensors(weights, 'weights'), 'weights');
  const held = syntheticImages({ seed: 1, count: 200, split: 'validation' });
  return calibrateGate(engine, network, held, { accept: 0.95 });
}

/** Build the page and serve it. */
export async function servePage(gate: Gate): Promise<Site> {
  const outDir = mkdtempSync(join(tmpdir(), 'energate-web-'));
  try {
    await build({
      configFile: join(root, 'web/vite.config.ts'),
      logLevel: 'error',
      publicDir: false,
      build: { outDir, emptyOutDir: true },
    });
    const paths = readdirSync(outDir, { recursive: true, encoding: 'utf8' })
      .map((name) => join(outDir, name))
      .filter((path) => statSync(path).isFile());
    const files = Object.fromEntries(paths.map((path) => [relative(outDir, path), readFileSync(path)]));
    return await serve({ ...files, 'shapes.energate': await encodeGate(gate) });
  } finally {
    rmSync(outDir, { recursive: true });
  }
}

/** Open the page. @returns it, and a list that grows by what it should not do: errors, requests to other origins */
export async function openPage(
  browser: Browser,
  site: Site,
  options: Parameters<Browser['newPage']>[0] = {},
): Promise<{ page: Page; faults: string[] }> {
  const page = await browser.newPage(options);
  const faults: string[] = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) faults.push(message.text());
  });
  page.on('pageerror', (error) => faults.push(error.message));
  page.context().on('request', (request) => {
    const { protocol, origin } = new URL(request.url());
    if (protocol !== 'data:' && `${origin}/` !== site.url) faults.push(`a request to ${request.url()}`);
  });
  await page.goto(site.url);
  return { page, faults };
}

/** Until the network is compiled. */
export const ready = (page: Page) => page.waitForSelector('body[data-engine=ready]', { timeout: 110_000 });

/** What the page says of each picture, in its order. */
export function decisions(
  page: Page,
): Promise<{ name: string; verdict: string; label: string; energy: number; pValue: number }[]> {
  return page.$$eval('.picture', (cards) =>
    cards.map((card) => {
      const text = (name: string) => card.querySelector(`.${name}`)!.textContent!;
      const value = (name: string) => Number(card.querySelector<HTMLDataElement>(`.${name}`)!.value);
      return {
        name: text('origin'),
        verdict: text('verdict'),
        label: text('label'),
        energy: value('energy'),
        pValue: value('p-value'),
      };
    }),
  );
}

/** Until so many pictures were decided about. */
export async function decided(page: Page, count: number): Promise<void> {
  await page.waitForFunction(
    (count) =>
      document.querySelectorAll('.picture:is([data-verdict=accepted], [data-verdict=refused])').length === count,
    count,
    { timeout: 60_000 },
  );
}

/** What becomes of the camera's streams from now on: how many the page was given and how many are on, and one that breaks off. */
export async function watchCamera(page: Page) {
  const tracks = await page.evaluateHandle(() => {
    const tracks: MediaStreamTrack[] = [];
    const { mediaDevices } = navigator;
    const ask = mediaDevices.getUserMedia.bind(mediaDevices);
    mediaDevices.getUserMedia = async (constraints) => {
      const stream = await ask(constraints);
      tracks.push(...stream.getTracks());
      return stream;
    };
    return tracks;
  });
  return {
    counts: () =>
      tracks.evaluate((tracks) => ({
        given: tracks.length,
        on: tracks.filter(({ readyState }) => readyState === 'live').length,
      })),
    breakOff: () => tracks.evaluate((tracks) => tracks.at(-1)!.dispatchEvent(new Event('ended'))),
  };
}

/** Until the page has decided about what the camera sees. */
export const cameraDecided = (page: Page) =>
  page.waitForFunction(
    () => /^(Accepted|Refused): \w+, E −?\d/.test(document.getElementById('camera-decision')!.textContent!),
    undefined,
    { timeout: 60_000 },
  );

/** Files as if they were dropped on the page. */
export async function drop(
  page: Page,
  files: readonly { name: string; type: string; bytes: Uint8Array }[],
): Promise<void> {
  const transfer = await page.evaluateHandle(
    (files) => {
      const transfer = new DataTransfer();
      for (const { name, type, bytes } of files) transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
      return transfer;
    },
    files.map((file) => ({ ...file, bytes: [...file.bytes] })),
  );
  await page.dispatchEvent('#drop', 'dragover', { dataTransfer: transfer });
  await page.dispatchEvent('#drop', 'drop', { dataTransfer: transfer });
}

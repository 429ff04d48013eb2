import { readFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { decodeNetwork, encodeGate, type Gate, readSafetensors } from '../../src/index.js';
import { launch } from '../support/browsers.js';
import type { Site } from '../support/site.js';
import { cameraDecided, decided, describeIn, drop, openPage, ready, servePage, watchCamera } from './support.js';

const weights = readFileSync(new URL('../../weights/wrn-10-1-shapes.safetensors', import.meta.url));
/** Calibrated by hand: nothing here depends on what the network says. */
const gate: Gate = {
  network: decodeNetwork(readSafetensors(weights, 'weights'), 'weights'),
  precision: 'float32',
  score: 'energy',
  accept: 0.95,
  calibration: { scores: Float64Array.from({ length: 99 }, (_, i) => 2 + i / 10) },
};

describeIn("the page's states and access", (kind) => {
  let site: Site;
  let browser: Browser;
  /** One that has no adapter: its pages are there at once. */
  let bare: Browser;

  beforeAll(async () => {
    site = await servePage(gate);
    browser = await launch(kind, { camera: true });
    bare = await launch(kind, { adapter: false });
  });

  afterAll(async () => {
    await browser?.close();
    await bare?.close();
    await site?.close();
  });

  async function openIn(browser: Browser, options: Parameters<Browser['newPage']>[0] = {}): Promise<Page> {
    const { page } = await openPage(browser, site, options);
    await page.waitForSelector('#axis svg');
    return page;
  }

  it('says that there is no WebGPU and what to do, and still shows the calibration', async () => {
    const context = await bare.newContext();
    await context.addInitScript(() => Reflect.deleteProperty(Navigator.prototype, 'gpu'));
    const page = await context.newPage();
    await page.goto(site.url);
    await page.waitForSelector('[role=alert]');
    expect(await page.textContent('[role=alert]')).toMatch(/This browser has no WebGPU.*Chrome and Edge .* 113/s);
    expect(await page.evaluate(() => document.getElementById('inputs')!.inert)).toBe(true);
    // The first smallest of 99 scores, 2, refuses one in a hundred.
    await page.focus('#accept');
    await page.keyboard.press('End');
    await page.waitForFunction(() => document.querySelector('.tau-label')?.textContent === 'τ = −2.00');
    await context.close();
  });

  it('says that no adapter was found, where the browser has WebGPU and no GPU', async () => {
    const page = await openIn(bare);
    await page.waitForSelector('[role=alert]');
    expect(await page.textContent('[role=alert]')).toMatch(/WebGPU found no GPU/);
    await page.close();
  });

  it('proposes neither images nor margins of its own for a gate with other classes', async () => {
    const page = await openIn(bare);
    const form = () =>
      page.$eval('#tune', (element) => {
        const fields = (element as HTMLFormElement).elements as unknown as Record<string, HTMLInputElement>;
        return { inside: fields.inside!.value, mIn: fields.mIn!.value, mOut: fields.mOut!.value };
      });
    expect(await form()).toEqual({ inside: 'embedded', mIn: '-13', mOut: '-3' });
    const others = { ...gate, network: { ...gate.network, classNames: [...'abcdefghij'] } };
    await drop(page, [{ name: 'others.energate', type: '', bytes: await encodeGate(others) }]);
    await page.waitForFunction(() => document.getElementById('gate-name')!.textContent === 'others');
    expect(await form()).toEqual({ inside: 'own', mIn: '', mOut: '' });
    await page.close();
  });

  it('shows the rate of a gate that was made for less than a half, and lets it be moved from there', async () => {
    const page = await openIn(bare);
    await drop(page, [{ name: 'third.energate', type: '', bytes: await encodeGate({ ...gate, accept: 0.3 }) }]);
    await page.waitForFunction(() => document.getElementById('accept-value')!.textContent === '30.0 %');
    expect(await page.inputValue('#accept')).toBe('30');
    await page.focus('#accept');
    await page.keyboard.press('End');
    await page.keyboard.press('Home');
    expect(await page.textContent('#accept-value')).toBe('30.0 %');
    await page.close();
  });

  it.each(['light', 'dark'] as const)(
    'fits 360 pixels without a horizontal scroll, and has contrast AA, %s',
    async (colorScheme) => {
      const page = await openIn(bare, { viewport: { width: 360, height: 740 }, colorScheme });
      await page.evaluate(() => {
        for (const element of document.querySelectorAll<HTMLElement>('main [hidden], main [inert]')) {
          element.hidden = false;
          element.inert = false;
        }
        document.querySelector('details')!.open = true;
      });
      const widths = await page.evaluate(() => {
        const { scrollWidth, clientWidth } = document.documentElement;
        return { window: innerWidth, content: scrollWidth, room: clientWidth };
      });
      expect(widths.window).toBe(360);
      expect(widths.content).toBe(widths.room);
      expect(await page.evaluate(findLowContrast)).toEqual([]);
      await page.close();
    },
  );

  /** Of the last two tests: a network takes long to compile here. */
  let page: Page;

  it('can be used by keyboard alone, and every control has a name', async () => {
    page = await openIn(browser, { reducedMotion: 'reduce' });
    await ready(page);
    const nameless = await page.evaluate(() =>
      [...document.querySelectorAll<HTMLElement>('button, input, progress, output, [role=img]')]
        .filter((element) => {
          const labels = 'labels' in element ? [...((element as HTMLInputElement).labels ?? [])] : [];
          const labelled = element.getAttribute('aria-labelledby');
          const words = [element.ariaLabel, element.textContent, ...labels.map((label) => label.textContent)];
          return !labelled && !words.some((word) => word?.trim());
        })
        .map((element) => element.outerHTML),
    );
    expect(nameless).toEqual([]);

    const reached: string[] = [];
    for (let i = 0; i < 40 && reached.at(-1) !== 'snippet'; i++) {
      await page.keyboard.press('Tab');
      reached.push(
        await page.evaluate(() => {
          const element = document.activeElement as HTMLElement;
          // What has the focus shows it: itself, or the label that stands for it.
          const shown = element.matches('input[type=file]') ? element.previousElementSibling! : element;
          const { outlineStyle } = getComputedStyle(shown);
          return outlineStyle === 'none'
            ? `${element.outerHTML} shows no focus`
            : element.id || element.className || (element as HTMLInputElement).value || element.textContent!;
        }),
      );
    }
    expect(reached).toEqual([
      'skip',
      'accept',
      'files',
      'camera-start',
      'shapes (in-distribution)',
      'glyphs',
      'textures',
      'noise',
      'scenes',
      'cells',
      'novel shapes',
      'embedded',
      'embedded',
      'Settings',
      'tune-start',
      'gate-file',
      'download',
      'snippet',
    ]);
    await page.getByRole('button', { name: 'cells' }).focus();
    await page.keyboard.press('Enter');
    await decided(page, 8);
    await page.waitForFunction(() => /of 8 pictures accepted$/.test(document.getElementById('status')!.textContent!));
  }, 150_000);

  // Nothing from outside ends Firefox's GPU process.
  it.skipIf(kind.name !== 'Chromium')(
    'says that the GPU was lost, switches the camera off, and starts again with the pictures that were there',
    async () => {
      await decided(page, 8);
      const camera = await watchCamera(page);
      await page.click('#camera-start');
      await cameraDecided(page);
      await page.click('summary');
      await page.fill('[name=batch]', '5');
      const session = await browser.newBrowserCDPSession();
      await session.send('Browser.crashGpuProcess').catch(() => undefined);
      await page.waitForSelector('[role=alert]', { timeout: 60_000 });
      expect(await page.textContent('[role=alert]')).toMatch(/The GPU device was lost/);
      expect(await camera.counts()).toEqual({ given: 1, on: 0 });
      await page.getByRole('button', { name: 'Start it again' }).click();
      await ready(page);
      await decided(page, 8);
      // What a software adapter is given, but for what was typed.
      expect(await page.inputValue('[name=batch]')).toBe('5');
      expect(await page.inputValue('[name=outlierBatch]')).toBe('16');
      await page.close();
    },
    170_000,
  );
});

/**
 * Texts whose contrast with what lies behind them is below 4.5 (3 where large: WCAG 2.2, 1.4.3), and fields whose border's
 * is below 3 (1.4.11). Runs in the page.
 */
function findLowContrast(): string[] {
  const parse = (colour: string) => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = (colour: string) => {
    const [r, g, b] = parse(colour).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  const behind = (element: Element): string => {
    const { backgroundColor } = getComputedStyle(element);
    const opaque = (parse(backgroundColor)[3] ?? 1) > 0;
    return opaque || !element.parentElement ? backgroundColor : behind(element.parentElement);
  };
  const contrastOf = (colour: string, element: Element) => {
    const [a, b] = [luminance(colour), luminance(behind(element))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const fields = [...document.querySelectorAll<HTMLInputElement>('input[type=number]')].flatMap((field) => {
    const contrast = contrastOf(getComputedStyle(field).borderTopColor, field.parentElement!);
    return contrast < 3 ? [`${field.name}: ${contrast.toFixed(2)}`] : [];
  });
  const texts = [...document.querySelectorAll<HTMLElement>('body *')].filter(
    (element) =>
      !element.closest('svg, [inert], :disabled, .visually-hidden, template') &&
      [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent!.trim()),
  );
  const low = texts.flatMap((element) => {
    const { color, fontSize, fontWeight } = getComputedStyle(element);
    const contrast = contrastOf(color, element);
    const large = Number.parseFloat(fontSize) >= (Number(fontWeight) >= 700 ? 18.66 : 24);
    return contrast < (large ? 3 : 4.5) ? [`${element.textContent!.trim().slice(0, 40)}: ${contrast.toFixed(2)}`] : [];
  });
  return [...fields, ...low];
}

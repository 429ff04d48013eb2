/** Headless browsers with WebGPU, for tests. Their pages are on http://127.0.0.1, and no network is needed. */
import { spawnSync } from 'node:child_process';
import { type Browser, type BrowserType, chromium, firefox, type LaunchOptions } from 'playwright-core';
import { vulkanManifests } from '../../src/node/vulkan.js';
import { findExecutable } from './executable.js';

export interface TestBrowser {
  readonly name: string;
  /** Why tests in it are skipped, if they are. */
  readonly missing: string | undefined;
  readonly type: BrowserType;
  /**
   * How playwright starts it.
   * @param camera whether it has one, which shows a test pattern and is given to any page that asks
   * @param adapter whether WebGPU finds one
   * @param downloadsPath a folder for what pages save
   */
  options(settings?: { camera?: boolean; adapter?: boolean; downloadsPath?: string }): LaunchOptions;
}

/** Start one, with a profile of its own that is deleted when it is closed. */
export function launch(browser: TestBrowser, settings?: Parameters<TestBrowser['options']>[0]): Promise<Browser> {
  return browser.type.launch(browser.options(settings));
}

const chromiumAt = findExecutable(
  'CHROMIUM',
  ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'],
  [
    '/Applications/Chromium.app/Contents/MacOS/Chromium',
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  ],
);

/** On its own SwiftShader. */
export const CHROMIUM: TestBrowser = {
  name: 'Chromium',
  missing: chromiumAt ? undefined : 'no Chromium',
  type: chromium,
  options: ({ camera = false, adapter = true, ...rest } = {}) => ({
    ...rest,
    executablePath: chromiumAt!,
    // Beside what playwright gives it: the new headless mode has WebGPU, and a test's browser calls nobody.
    args: [
      '--headless=new',
      '--no-sandbox',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--disable-quic',
      '--no-first-run',
      ...(adapter ? ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'] : []),
      ...(camera ? ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'] : []),
    ],
  }),
};

const firefoxAt = findExecutable(
  'FIREFOX',
  ['firefox', 'firefox-esr'],
  ['/Applications/Firefox.app/Contents/MacOS/firefox'],
);

/** The first version that is tested. */
const LEAST_FIREFOX = 153;

function whyNoFirefox(): string | undefined {
  if (!firefoxAt) return 'no Firefox';
  // SwiftShader, where tests in Node run on it, is too slow without subgroups.
  const drivers = process.platform === 'linux' && vulkanManifests().filter((path) => !/swiftshader/i.test(path));
  if (drivers && drivers.length === 0) return 'no Vulkan driver for Firefox';
  const version = /\d+/.exec(spawnSync(firefoxAt, ['--version'], { encoding: 'utf8' }).stdout ?? '')?.[0];
  if (!version) return 'a Firefox that does not say its version';
  return Number(version) < LEAST_FIREFOX ? `Firefox ${version} is older than ${LEAST_FIREFOX}` : undefined;
}

/** On the system's Vulkan driver, where that is Linux: it brings no adapter of its own. */
export const FIREFOX: TestBrowser = {
  name: 'Firefox',
  missing: whyNoFirefox(),
  type: firefox,
  options: ({ camera = false, adapter = true, ...rest } = {}) => ({
    ...rest,
    // Firefox as it is published; playwright's own can be downloaded only.
    channel: 'moz-firefox',
    executablePath: firefoxAt!,
    env: { ...process.env, ...(adapter ? {} : { VK_DRIVER_FILES: '/none', VK_ICD_FILENAMES: '/none' }) },
    firefoxUserPrefs: {
      'dom.webgpu.enabled': true,
      // Software adapters are on it.
      'gfx.webgpu.ignore-blocklist': true,
      ...(camera ? { 'media.navigator.streams.fake': true, 'media.navigator.permission.disabled': true } : {}),
    },
  }),
};

export const BROWSERS = [CHROMIUM, FIREFOX];

/** Browsers for tests, headless and with WebGPU on software. Their pages are on http://127.0.0.1, and no network is needed. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, type BrowserType, chromium, firefox, type LaunchOptions } from 'playwright-core';
import { vulkanManifests } from '../../src/node/vulkan.js';

export interface TestBrowser {
  readonly name: string;
  /** Where it is: what an environment variable of its name (in capitals) says, else the first in the search path. */
  readonly executable: string | undefined;
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

function find(variable: string, names: readonly string[], applications: readonly string[]): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const paths = [...folders.flatMap((folder) => names.map((name) => join(folder, name))), ...applications];
  return process.env[variable] ?? paths.find(existsSync);
}

const chromiumAt = find(
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
  executable: chromiumAt,
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

const firefoxAt = find('FIREFOX', ['firefox', 'firefox-esr'], ['/Applications/Firefox.app/Contents/MacOS/firefox']);

/** On the system's Vulkan driver, where that is Linux: it has no WebGPU of its own. */
export const FIREFOX: TestBrowser = {
  name: 'Firefox',
  executable: firefoxAt,
  missing: !firefoxAt
    ? 'no Firefox'
    : process.platform === 'linux' && vulkanManifests().length === 0
      ? 'no Vulkan driver for Firefox'
      : undefined,
  type: firefox,
  options: ({ camera = false, adapter = true, ...rest } = {}) => ({
    ...rest,
    // Firefox as it is published; playwright's own can be downloaded only.
    channel: 'moz-firefox',
    executablePath: firefoxAt!,
    firefoxUserPrefs: {
      'dom.webgpu.enabled': true,
      // Software adapters are on it.
      'gfx.webgpu.ignore-blocklist': adapter,
      ...(camera ? { 'media.navigator.streams.fake': true, 'media.navigator.permission.disabled': true } : {}),
    },
  }),
};

export const BROWSERS = [CHROMIUM, FIREFOX];

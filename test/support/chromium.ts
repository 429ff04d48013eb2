/** A Chromium with WebGPU on its own SwiftShader, for tests: no GPU, no driver and no network are needed. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const APPLICATIONS = [
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/** The executable: what `CHROMIUM` names, else the first found in the search path; undefined where none is installed. */
export const CHROMIUM: string | undefined =
  process.env.CHROMIUM ??
  [
    ...(process.env.PATH ?? '').split(delimiter).flatMap((folder) => NAMES.map((name) => join(folder, name))),
    ...APPLICATIONS,
  ].find(existsSync);

/** Beside what playwright gives it: the new headless mode has WebGPU, and a test's browser calls nobody. */
export const CHROMIUM_FLAGS: readonly string[] = [
  '--headless=new',
  '--no-sandbox',
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
  '--no-first-run',
];

/** Start one, with a profile of its own that is deleted when it is closed. WebGPU is there on http://127.0.0.1 pages. */
export function launchChromium(flags: readonly string[] = CHROMIUM_FLAGS): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM!, args: [...flags] });
}

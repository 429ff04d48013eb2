import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';
import { BROWSERS } from './test/support/browsers.js';

const installed = BROWSERS.filter(({ missing }) => !missing);
if (installed.length === 0) {
  throw new Error('no browser is installed: install Chromium or Firefox, or name one in CHROMIUM or FIREFOX');
}

/** `npm run test:browser`: what needs nothing of Node, in headless browsers with their own WebGPU. */
export default defineConfig({
  // Nothing is to be found out about dependencies: the tests import only the project, and what is Node's is never reached.
  optimizeDeps: { noDiscovery: true, include: [] },
  test: {
    include: ['test/kernels/*.test.ts', 'test/graph/*.test.ts', 'test/**/*.browser.ts'],
    // It reads files.
    exclude: ['test/kernels/shaders.test.ts'],
    // Software takes seconds to compile a convolution.
    testTimeout: 120_000,
    hookTimeout: 60_000,
    fileParallelism: false,
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      instances: installed.map((browser) => ({
        browser: browser.type.name() as 'chromium' | 'firefox',
        provider: playwright({ launchOptions: browser.options() }),
      })),
    },
  },
});

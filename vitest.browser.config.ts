import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';
import { CHROMIUM, CHROMIUM_FLAGS } from './test/support/chromium.js';

if (!CHROMIUM) throw new Error('no Chromium is installed: install one, or name one in CHROMIUM');

/** `npm run test:browser`: what needs nothing of Node, in headless Chromium with its own WebGPU (SwiftShader). */
export default defineConfig({
  // Nothing is to be found out about dependencies: the tests import only the project, and what is Node's is never reached.
  optimizeDeps: { noDiscovery: true, include: [] },
  test: {
    include: ['test/kernels/*.test.ts', 'test/graph/*.test.ts', 'test/**/*.browser.ts'],
    // It reads files.
    exclude: ['test/kernels/shaders.test.ts'],
    // SwiftShader takes seconds to compile a convolution.
    testTimeout: 120_000,
    hookTimeout: 60_000,
    fileParallelism: false,
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: playwright({ launchOptions: { executablePath: CHROMIUM, args: [...CHROMIUM_FLAGS] } }),
      instances: [{ browser: 'chromium' }],
    },
  },
});

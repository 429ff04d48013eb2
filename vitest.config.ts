import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 60_000,
    // Each file opens its own device; software ones use all cores, so files run one after the other.
    pool: 'forks',
    fileParallelism: false,
  },
});

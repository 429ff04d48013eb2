import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

/** `npm run web`: web/dist/, files that any static host serves, from any folder. */
export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  base: './',
  build: { outDir: 'dist', emptyOutDir: true, target: 'es2022', chunkSizeWarningLimit: 1000 },
  worker: { format: 'es' },
});

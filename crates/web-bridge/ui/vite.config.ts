import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

// Three files with fixed names: the server sends them with an ETag, so a hash
// in the name would only make the embedding harder.
export default defineConfig({
  base: './',
  plugins: [svelte({ configFile: false })],
  build: {
    outDir: 'dist',
    target: 'es2022',
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'], // light-dark() as it is
    cssCodeSplit: false,
    modulePreload: false,
    rollupOptions: {
      output: {
        entryFileNames: 'app.js',
        assetFileNames: 'app[extname]',
        codeSplitting: false,
      },
    },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});

import { defineConfig } from 'vitest/config'

/** `npm run test:slow`: what shows only over many requests, takes large files, or waits for crashes: too long for every `npm test`. */
export default defineConfig({
  test: {
    include: ['test/**/*.slow.test.ts'],
    // What is about images and the chart runs with `npm run test:walls`.
    exclude: ['**/node_modules/**', 'test/bundle/**', 'test/chart/**', 'test/images/**'],
    globalSetup: ['test/support/fetch-model.ts'],
    pool: 'forks',
    // Some of them measure times and memory.
    fileParallelism: false,
    reporters: process.env['CI'] === undefined ? ['default'] : ['default', 'json'],
    outputFile: { json: 'coverage/slow.json' },
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
})

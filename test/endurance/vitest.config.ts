import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

/** `npm run test:endurance`: what shows only over many requests: too long for every `npm test`. */
export default defineConfig({
  test: {
    root: join(import.meta.dirname, '../..'),
    include: ['test/endurance/**/*.test.ts'],
    globalSetup: ['test/support/fetch-model.ts'],
    pool: 'forks',
    // They measure times.
    fileParallelism: false,
    reporters: process.env['CI'] === undefined ? ['default'] : ['default', 'json'],
    outputFile: { json: 'coverage/endurance.json' },
    testTimeout: 600_000,
    hookTimeout: 60_000,
  },
})

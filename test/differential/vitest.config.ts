import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

/** `npm run test:differential`: compares with other programs, which it installs and builds: too long for every `npm test`. */
export default defineConfig({
  test: {
    root: join(import.meta.dirname, '../..'),
    include: ['test/differential/**/*.test.ts'],
    globalSetup: ['test/support/fetch-model.ts'],
    pool: 'forks',
    // Each holds a model and an inference thread, and llama-server another.
    fileParallelism: false,
    reporters: process.env['CI'] === undefined ? ['default'] : ['default', 'json'],
    outputFile: { json: 'coverage/differential.json' },
    testTimeout: 300_000,
    // Whoever comes first builds llama-server.
    hookTimeout: 3_600_000,
  },
})

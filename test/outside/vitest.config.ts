import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

/** `npm run test:outside`: the ledger, checked by the tools of others, which it builds from their sources at first: too long for every `npm test`. */
export default defineConfig({
  test: {
    root: join(import.meta.dirname, '../..'),
    include: ['test/outside/**/*.test.ts'],
    pool: 'forks',
    fileParallelism: false,
    reporters: process.env['CI'] === undefined ? ['default'] : ['default', 'json'],
    outputFile: { json: 'coverage/outside.json' },
    testTimeout: 300_000,
    // Whoever comes first builds the tools.
    hookTimeout: 1_200_000,
  },
})

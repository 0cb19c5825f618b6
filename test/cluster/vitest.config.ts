import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

/** `npm run test:cluster`: the images and the chart in a real Kubernetes cluster, which it brings up and takes down (CONTRIBUTING.md). */
export default defineConfig({
  test: {
    root: join(import.meta.dirname, '../..'),
    include: ['test/cluster/**/*.test.ts'],
    globalSetup: ['test/support/fetch-model.ts', 'test/cluster/bring-up.ts'],
    pool: 'forks',
    // There is one node.
    fileParallelism: false,
    reporters: process.env['CI'] === undefined ? ['default'] : ['default', 'json'],
    outputFile: { json: 'coverage/cluster.json' },
    testTimeout: 600_000,
    hookTimeout: 600_000,
  },
})

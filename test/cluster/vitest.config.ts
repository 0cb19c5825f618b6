import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

/**
 * `npm run test:walls`: builds the images, brings up a real Kubernetes cluster, checks images, chart and isolation, installs and tries everything in the cluster, and takes
 * it down (CONTRIBUTING.md).
 */
export default defineConfig({
  test: {
    root: join(import.meta.dirname, '../..'),
    include: ['bundle', 'chart', 'cluster', 'images', 'network'].map((folder) => `test/${folder}/**/*.test.ts`),
    globalSetup: ['test/support/fetch-model.ts', 'test/cluster/bring-up.ts'],
    pool: 'forks',
    // There is one node.
    fileParallelism: false,
    reporters: process.env['CI'] === undefined ? ['default'] : ['default', 'json'],
    outputFile: { json: 'coverage/walls.json' },
    testTimeout: 600_000,
    hookTimeout: 600_000,
  },
})

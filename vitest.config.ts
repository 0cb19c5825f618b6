import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['services/**/*.test.ts', 'deploy/**/*.test.ts', 'test/**/*.test.ts'],
    // They have commands of their own: clients, servers and tools of others, installed and built for them, a Kubernetes cluster, and what takes minutes.
    exclude: ['**/node_modules/**', 'test/conformance/**', 'test/differential/**', 'test/outside/**', 'test/bundle/**', 'test/chart/**', 'test/cluster/**', 'test/images/**', 'test/network/**', 'test/**/*.slow.test.ts'],
    globalSetup: ['test/support/fetch-model.ts'],
    pool: 'forks',
    // More would starve the engine's threads: see CONTRIBUTING.md.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    reporters: process.env['CI'] === undefined ? ['default'] : ['default', 'json'],
    outputFile: { json: 'coverage/vitest.json' },
  },
})

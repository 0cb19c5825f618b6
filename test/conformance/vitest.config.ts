import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

/** `npm run test:conformance`: real clients against the real platform. They are installed from the registries first. */
export default defineConfig({
  test: {
    root: join(import.meta.dirname, '../..'),
    include: ['test/conformance/**/*.test.ts'],
    exclude: ['**/node_modules/**'],
    globalSetup: ['test/support/fetch-model.ts', 'test/conformance/install-clients.ts'],
    pool: 'forks',
    // Each file has a platform of its own, and an inference thread: see CONTRIBUTING.md.
    maxWorkers: 2,
    testTimeout: 60_000,
    // Whoever comes first makes the Python environments.
    hookTimeout: 900_000,
    reporters: process.env['CI'] === undefined ? ['default'] : ['default', 'json'],
    outputFile: { json: 'coverage/conformance.json' },
  },
})

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { describedOperations } from '../../services/gateway/api/described-operations.ts'
import { marksOf } from '../../services/gateway/api/parameter.ts'
import type { LooseSchema } from '../../services/gateway/api/problem.ts'

// "Supported" in docs/api.md is a promise that a client's test keeps: each such parameter must be sent by one of these suites.

const folder = import.meta.dirname
const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((name) => /\.(ts|py)$/.test(name) && !name.includes('node_modules') && name !== 'every-parameter.test.ts')
  .map((name) => readFileSync(join(folder, name), 'utf8'))
  .join('\n')

function supported(schema: LooseSchema): string[] {
  return Object.entries(schema.properties ?? {})
    .filter(([, inner]) => (marksOf(inner)['x-support'] ?? 'supported') === 'supported')
    .map(([name]) => name)
}

test.each(describedOperations.filter(({ body }) => body !== undefined).map(({ path, body }) => [path, body] as const))('%s', (_, body) => {
  const missing = supported(body ?? {}).filter((name) => !new RegExp(`['"]?\\b${name}\\b['"]?\\s*[:=,}]`).test(sources))
  expect(missing).toEqual([])
})

import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { withReference } from './reference.ts'

test('docs/api.md tells what the schemas say (npm run docs:generate)', () => {
  const text = readFileSync(new URL('../../../docs/api.md', import.meta.url), 'utf8')
  expect(text).toBe(withReference(text))
})

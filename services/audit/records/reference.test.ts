import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { recordReference } from './reference.ts'

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8')

test('docs/audit-records.md is current, and tells every type and field', () => {
  const text = recordReference(read('record.ts'))
  expect(read('../../../docs/audit-records.md'), 'run: npm run docs:generate').toBe(text)
  const types = [...text.matchAll(/^## (.*)$/gm)].map(([, type]) => type)
  expect(types).toEqual([...read('record.ts').matchAll(/^ {2}'([a-z]+\.[a-z]+)': \{/gm)].map(([, type]) => type))
  expect(types.length).toBeGreaterThan(12)
  expect(text).toContain('| `outcome` | `completed`, `cancelled`, `failed`, `interrupted` |')
})

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { fieldsOf } from './fields.ts'
import { configReference } from './reference.ts'
import { configSchema } from './schema.ts'

test('the committed page is current', () => {
  expect(readFileSync(join(import.meta.dirname, '../../../docs/configuration.md'), 'utf8')).toBe(configReference())
})

test('has a row for every setting, with its variable, and every row has as many cells as its header', () => {
  const rows = configReference()
    .split('\n')
    .filter((line) => line.startsWith('|'))
  for (const { path, variable } of fieldsOf(configSchema)) {
    const row = rows.find((line) => line.startsWith(`| \`${path}\` |`))
    expect(row, path).toContain(variable === undefined ? '|  |' : `\`${variable}\``)
  }
  expect(new Set(rows.map((row) => row.replaceAll('\\|', '').split('|').length))).toEqual(new Set([7, 6]))
})

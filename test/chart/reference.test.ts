import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { chartReferences } from '../../deploy/chart/reference.ts'
import { readValues } from '../../deploy/chart/read-values.ts'

const chart = new URL('../../charts/intramuros/', import.meta.url)

test.each(Object.entries(chartReferences()))('%s is what values.yaml says (npm run docs:generate)', (name, text) => {
  expect(readFileSync(new URL(name, chart), 'utf8')).toBe(text)
})

test('every value is explained', () => {
  const values = readValues(readFileSync(new URL('values.yaml', chart), 'utf8'))
  const silent = values.filter(({ description, preset, schema }) => description === '' && (typeof preset !== 'object' || Array.isArray(preset) || schema['additionalProperties'] !== undefined))
  expect(silent.map(({ path }) => path.join('.'))).toEqual([])
})

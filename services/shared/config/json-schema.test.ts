import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Check } from 'typebox/schema'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { defaultConfigFile } from './default-file.ts'
import { fieldsOf } from './fields.ts'
import { configJsonSchema } from './json-schema.ts'
import { configSchema } from './schema.ts'

const schema = configJsonSchema()

test('the committed file is current', () => {
  const committed: unknown = JSON.parse(readFileSync(join(import.meta.dirname, 'intramuros.schema.json'), 'utf8'))
  expect(committed).toEqual(JSON.parse(JSON.stringify(schema)))
})

test('uses only keywords of the standard, and patternErrorMessage', () => {
  const standard =
    'type title description default enum minimum maximum minLength maxLength minItems pattern items properties required ' +
    'additionalProperties'
  const known = new Set([...standard.split(' '), 'patternErrorMessage', '$schema', '$id'])
  const unknown: string[] = []
  const walk = (node: object): void => {
    for (const [keyword, value] of Object.entries(node)) {
      if (!known.has(keyword)) unknown.push(keyword)
      if (keyword === 'properties') for (const property of Object.values(Object(value))) walk(Object(property))
      if (keyword === 'items') walk(Object(value))
    }
  }
  walk(schema)
  expect(unknown).toEqual([])
})

describe('an editor that checks against it', () => {
  test.each([
    ['the default file', parse(defaultConfigFile())],
    ['nothing set', {}],
    ['a section with all its lines commented out', { gateway: null }],
    ['some settings', { gateway: { port: 9000, tokenizer: '', audit: ['[::1]:1'] }, serve: ['a'], tls: { folder: '~/tls' } }],
  ])('accepts %s', (_, value: unknown) => {
    expect(Check(schema, value)).toBe(true)
  })

  test('accepts every default', () => {
    for (const { segments, schema: field } of fieldsOf(configSchema)) {
      const value = segments.toReversed().reduce<unknown>((below, key) => ({ [key]: below }), field.default)
      expect(Check(schema, value), segments.join('.')).toBe(true)
    }
  })

  test.each([
    ['an unknown setting', { gateway: { prot: 1 } }],
    ['an unknown section', { gatway: {} }],
    ['text for a number', { gateway: { port: '8443' } }],
    ['a number out of bounds', { gateway: { port: 65_536 } }],
    ['an empty list of models to serve', { serve: [] }],
    ['an address without a port', { audit: { listen: 'localhost' } }],
    ['an empty address where one is needed', { audit: { listen: '' } }],
    ['a relative folder', { tls: { folder: 'tls' } }],
    ['an unfinished entry of models', { models: [{ id: 'x' }] }],
  ])('refuses %s', (_, value) => {
    expect(Check(schema, value)).toBe(false)
  })
})

test('--check fails for another option, and passes for the committed file', () => {
  const script = join(import.meta.dirname, 'json-schema.ts')
  expect(spawnSync(process.execPath, [script, '--check'], { timeout: 20_000 }).status).toBe(0)
  expect(spawnSync(process.execPath, [script, '--wirte'], { timeout: 20_000 }).status).toBe(2)
})

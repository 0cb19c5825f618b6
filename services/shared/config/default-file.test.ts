import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { defaultConfigFile } from './default-file.ts'
import { fieldsOf } from './fields.ts'
import { loadConfig } from './load.ts'
import { configSchema } from './schema.ts'

let folder = ''
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'intramuros-config-'))))
afterEach(() => rmSync(folder, { recursive: true }))

function settingsOf(text: string) {
  const file = join(folder, 'intramuros.yaml')
  writeFileSync(file, text)
  const { origins, ...settings } = loadConfig({ env: { INTRAMUROS_HOME: folder } })
  return { origins, settings }
}

/** Removes one # from each line but the first, as an editor does. */
function uncommented(): string {
  const [first = '', ...lines] = defaultConfigFile().split('\n')
  return [first, ...lines.map((line) => line.replace(/^(\s*)# ?/, '$1'))].join('\n')
}

test('as it is written, it sets nothing', () => {
  const { origins: _, ...defaults } = loadConfig({ env: { INTRAMUROS_HOME: folder } })
  const { origins, settings } = settingsOf(defaultConfigFile())
  expect(settings).toEqual(defaults)
  expect(origins).toEqual({})
})

test('with every line uncommented, it sets every setting to its default', () => {
  const { origins: _, ...defaults } = loadConfig({ env: { INTRAMUROS_HOME: folder } })
  const { origins, settings } = settingsOf(uncommented())
  expect(settings).toEqual(defaults)
  expect(Object.keys(origins).toSorted()).toEqual(
    fieldsOf(configSchema)
      .map(({ path }) => path)
      .toSorted(),
  )
})

test('one uncommented line is enough to change a setting', () => {
  const { settings } = settingsOf(defaultConfigFile().replace('# port: 8443', 'port: 9000'))
  expect(settings.gateway.port).toBe(9000)
})

test('the example entry of models works when uncommented', () => {
  const text = defaultConfigFile()
    .replace('# models: []\n', '')
    .replace(/((?:^## {3}.*\n)+)/m, (example) => `models:\n${example.replaceAll(/^##/gm, '')}`)
    .replace('64 hexadecimal digits', `"${'0'.repeat(64)}"`)
  expect(settingsOf(text).settings.models.map(({ id }) => id)).toEqual(['my-model'])
})

test('names its schema for editors in the first line, and has no line that is too wide', () => {
  const lines = defaultConfigFile().split('\n')
  expect(lines[0]).toBe('# yaml-language-server: $schema=./intramuros.schema.json')
  expect(lines.filter((line) => line.length > 130)).toEqual([])
})

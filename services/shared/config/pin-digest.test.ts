import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { pinDigest } from './pin-digest.ts'

const pin = { id: 'own', sha256: 'a'.repeat(64), size: 12 }

test('the lines go after the file, with comments and everything else as it was', () => {
  const text = `# Ours.
serve: [own]
models:
  # the first
  - file: other.gguf # not this
    id: other
  - id: own   # this
    file: "own.gguf"   # from them

    licence: MIT
gateway: { port: 1 }
`
  expect(pinDigest(text, pin)).toBe(text.replace('# from them\n', `# from them\n    sha256: "${pin.sha256}"\n    size: 12\n`))
  expect(pinDigest(text, { ...pin, id: 'other' })).toBe(text.replace('# not this\n', `# not this\n    sha256: "${pin.sha256}"\n    size: 12\n`))
  const crlf = text.replaceAll('\n', '\r\n')
  expect(pinDigest(crlf, pin)).toBe(crlf.replace('# from them\r\n', `# from them\r\n    sha256: "${pin.sha256}"\r\n    size: 12\r\n`))
  expect(pinDigest('models:\n- size: 5\n  id: own\n  file: own.gguf', pin)).toBe(`models:\n- size: 5\n  id: own\n  file: own.gguf\n  sha256: "${pin.sha256}"\n`)
  // A digest of digits alone stays a text.
  expect(parse(pinDigest(text, { ...pin, sha256: '1'.repeat(64) }) ?? '')).toMatchObject({ models: [{}, { sha256: '1'.repeat(64) }] })
})

test.each([
  ['no such entry', 'models: []'],
  ['no models', 'serve: [own]'],
  ['a map in braces', 'models:\n  - { id: own, file: own.gguf }'],
  ['a list in brackets', 'models: [{ id: own,\n file: own.gguf }]'],
  ['a digest already', `models:\n  - id: own\n    file: own.gguf\n    sha256: ${'b'.repeat(64)}`],
  ['an alias', 'models:\n  - &a\n    id: other\n    file: own.gguf\n  - *a'],
  ['no YAML', 'models: ['],
  ['a merged entry that lies elsewhere', 'x: &x { file: own.gguf }\nmodels:\n  - id: own\n    <<: *x'],
])('%s is not touched', (_, text) => {
  expect(pinDigest(text, pin)).toBeUndefined()
})

test('whatever the keys around it, the entry gains the pin and nothing else changes', () => {
  const key = fc.stringMatching(/^[a-z]{1,6}$/)
  const value = fc.oneof(fc.integer(), fc.stringMatching(/^[a-z "':#]{0,8}$/), fc.boolean())
  const extra = fc.dictionary(key.filter((name) => !['id', 'file', 'size'].includes(name)), value, { maxKeys: 3 })
  fc.assert(
    fc.property(extra, extra, fc.constantFrom('', '  ', '    '), (before, after, indent) => {
      const lines = [...Object.entries(before), ['id', 'own'] as const, ['file', 'own.gguf'] as const, ...Object.entries(after).filter(([name]) => !(name in before))]
      const text = `models:\n${lines.map(([name, content], at) => `${indent}${at === 0 ? '- ' : '  '}${name}: ${JSON.stringify(content)}\n`).join('')}`
      const [entry] = (parse(text) as { models: object[] }).models
      expect(parse(pinDigest(text, pin) ?? '')).toEqual({ models: [{ ...entry, sha256: pin.sha256, size: 12 }] })
    }),
  )
})

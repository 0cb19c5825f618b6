import { Value } from 'typebox/value'
import { describe, expect, test } from 'vitest'
import { ModelEntry, builtinModels, catalogueOf, catalogueProblems, isUnpinned } from './catalogue.ts'

const own: ModelEntry = {
  id: 'own',
  file: 'own.gguf',
  size: 10,
  sha256: 'a'.repeat(64),
  licence: 'MIT',
  contextLength: 2048,
  openness: { weights: true, code: false, data: false, paper: false },
  from: { hub: { repo: 'owner/name', revision: 'main', file: 'folder/own.gguf' } },
}
const { sha256: _, ...unpinned } = own

test('the built-in models fit their own rules', () => {
  for (const entry of builtinModels) expect([...Value.Errors(ModelEntry, entry)]).toEqual([])
  expect(catalogueProblems(builtinModels)).toEqual([])
})

describe('the schema refuses', () => {
  test.each([
    ['a file outside its folder', { file: '../own.gguf' }],
    ['a digest in capitals', { sha256: 'A'.repeat(64) }],
    ['no parts in a list of them', { parts: [] }],
    ['a part without a digest', { parts: [{ size: 5 }] }],
    ['a size of nothing', { size: 0 }],
    ['a key it does not know', { sha265: 'a'.repeat(64) }],
    ['a hub file with ..', { from: { hub: { repo: 'owner/name', revision: 'main', file: '/own.gguf' } } }],
    ['a revision that is a path', { from: { hub: { repo: 'owner/name', revision: '../..', file: 'own.gguf' } } }],
  ])('%s', (_name, change) => {
    expect(Value.Check(ModelEntry, { ...own, ...change })).toBe(false)
  })
})

describe('the catalogue', () => {
  test('adds own entries, which replace built-in ones of their id', () => {
    const id = builtinModels[0]?.id ?? ''
    const catalogue = catalogueOf([own, { ...own, id }])
    expect([...catalogue.keys()]).toEqual([id, 'own'])
    expect(catalogue.get(id)?.licence).toBe('MIT')
  })

  test('names every problem of own entries', () => {
    const problems = catalogueProblems([
      own,
      own,
      { ...unpinned, id: 'b' },
      { ...unpinned, id: 'c', from: {} },
      { ...own, id: 'd', from: { path: 'here' } },
      { ...unpinned, id: 'e', parts: [{ sha256: 'b'.repeat(64) }] },
    ])
    expect(problems.map(({ path }) => path)).toEqual(['1.id', '3.sha256', '4.from.path', '5.sha256'])
    expect(() => catalogueOf([own, own])).toThrow("models.1.id: found 'own', as in entry 0; allowed: an id of its own")
  })

  test('takes a file that is here without a digest, and knows one that must be pinned', () => {
    const here = { ...unpinned, from: { path: '/models/own.gguf' } }
    expect(catalogueProblems([here])).toEqual([])
    expect([own, here, unpinned, { ...unpinned, from: { ...own.from, ...here.from } }].map(isUnpinned)).toEqual([false, false, true, true])
  })
})

import { expect, test } from 'vitest'
import type { EntryOf, LogRecord } from '../records/record.ts'
import { createExplained } from './explained.ts'

function pruned(fields: Partial<EntryOf<'log.pruned'>>): LogRecord {
  return { v: 1, at: '2026-11-01T00:00:00.000Z', clock: 'ok', type: 'log.pruned', class: 'requests', before: '2026-01-01T00:00:00.000Z', from: 0, to: 10, entries: 2, ...fields }
}

test('what is gone was announced, wherever that stands', () => {
  const one = createExplained()
  expect(one.missing()).toBeUndefined()
  one.gone(3)
  one.gone(9)
  expect(one.missing()).toEqual({ index: 9, count: 2 })
  one.record(pruned({}))
  expect(one.missing()).toBeUndefined()
  one.gone(10)
  expect(one.missing()).toEqual({ index: 10, count: 1 })
  // Another class has a count of its own; one of the same must go on from the last.
  one.record(pruned({ to: 20 }))
  expect(one.missing()).toBeDefined()
  one.record(pruned({ class: 'security', to: 12, entries: 1 }))
  expect(one.missing()).toBeUndefined()
  one.record(pruned({ from: 10, to: 20, entries: 0 }))
  expect(one.missing()).toBeUndefined()
})

test('less may be gone than was announced: it goes soon', () => {
  const one = createExplained()
  one.record(pruned({ entries: 5 }))
  one.gone(9)
  expect(one.missing()).toBeUndefined()
})

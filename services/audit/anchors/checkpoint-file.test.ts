import fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkpointFileName, compareWithFound, isCheckpointFile } from './checkpoint-file.ts'
import { createGrowingLog } from './test-support/growing-log.ts'

test('names are in the order of the sizes', () => {
  const sizes = fc.maxSafeNat()
  fc.assert(
    fc.property(sizes, sizes, (a, b) => {
      expect(isCheckpointFile(checkpointFileName(a))).toBe(true)
      expect(Math.sign(a - b)).toBe(checkpointFileName(a) < checkpointFileName(b) ? -1 : checkpointFileName(a) > checkpointFileName(b) ? 1 : 0)
    }),
  )
  expect(checkpointFileName(12_345)).toBe('0000000000012345.checkpoint')
  expect(isCheckpointFile('12345.checkpoint')).toBe(false)
})

test('what is found is the same checkpoint, another, a beginning of it or nothing of the kind', () => {
  const { note } = createGrowingLog('a').checkpoint(5)
  const other = createGrowingLog('b').checkpoint(5).note
  const cosigned = `${note}— w.example/1 AAAAAAA=\n`
  expect(compareWithFound(note, note)).toBe('same')
  expect(compareWithFound(note, cosigned)).toBe('same')
  expect(compareWithFound(cosigned, note)).toBe('same')
  expect(compareWithFound(note, other)).toBe('other')
  expect(compareWithFound(note, note.replace('5\n', '6\n'))).toBe('other')
  expect(compareWithFound(note, '')).toBe('torn')
  expect(compareWithFound(note, note.slice(0, -3))).toBe('torn')
  expect(compareWithFound(note, 'nothing')).toBe('damaged')
  expect(compareWithFound(note, `${note}x`)).toBe('damaged')
})

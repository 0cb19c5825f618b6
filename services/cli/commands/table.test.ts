import { expect, test } from 'vitest'
import { table } from './table.ts'

test('columns are as wide as their widest cell, without blanks at the ends of lines', () => {
  expect(table(['A', 'LONG TITLE', 'C'], [['wide cell', 'x', ''], ['y', '', 'z']], 'none')).toBe(
    'A          LONG TITLE  C\nwide cell  x\ny                      z\n',
  )
  expect(table(['A'], [], 'none')).toBe('none\n')
})

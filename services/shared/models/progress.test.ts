import { expect, test } from 'vitest'
import { createProgress } from './progress.ts'

function recorder(
  isTTY: boolean,
  columns = 100,
): { stream: { isTTY: boolean; columns: number; write: (text: string) => void }; written: string[] } {
  const written: string[] = []
  return { stream: { isTTY, columns, write: (text) => written.push(text) }, written }
}

test('on a terminal one line is redrawn, at most ten times a second', () => {
  const { stream, written } = recorder(true)
  let time = 0
  const progress = createProgress(stream, () => time)
  for (let received = 0; received <= 100; received += 1) {
    progress({ source: 'hub', received: received * 1e6, total: 100e6 })
    time += 10
  }
  // 1 s: the first, nine more, and the last.
  expect(written.filter((text) => text.startsWith('\r'))).toHaveLength(11)
  expect(written[5]).toBe(`\r\u001B[2K[${'#'.repeat(12)}${' '.repeat(12)}]  50 %  50.0 of 100.0 MB  100.0 MB/s  1 s left  hub`)
  expect(written.join('').split('\n')).toHaveLength(2)
  expect(written.at(-1)).toBe('\n')
})

test('elsewhere there is a line for every 10 %', () => {
  const { stream, written } = recorder(false)
  const progress = createProgress(stream)
  for (let received = 0; received <= 1000; received += 1) progress({ source: 'hub', received, total: 1000 })
  expect(written.map((text) => Number.parseInt(text, 10))).toEqual([0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100])
  expect(written.every((text) => text.endsWith('\n') && !text.includes('\r'))).toBe(true)
})

test('what an earlier try fetched does not count as speed', () => {
  const { stream, written } = recorder(false)
  let time = 0
  const progress = createProgress(stream, () => time)
  progress({ source: 'hub', received: 80e6, total: 100e6 })
  time = 1000
  progress({ source: 'hub', received: 90e6, total: 100e6 })
  expect(written).toEqual([' 80 %  80.0 of 100.0 MB  hub\n', ' 90 %  90.0 of 100.0 MB  10.0 MB/s  1 s left  hub\n'])
})

test('a narrow terminal gets no line longer than itself; an open line is ended once', () => {
  const { stream, written } = recorder(true, 30)
  const progress = createProgress(stream)
  progress({ source: 'a source with a long name', received: 1, total: 100 })
  expect(written[0]?.slice('\r\u001B[2K'.length)).toHaveLength(29)
  progress.done()
  progress.done()
  expect(written.slice(1)).toEqual(['\n'])
})

test('a terminal that does not know its width gets 80 columns', () => {
  const { stream, written } = recorder(true, 0)
  createProgress(stream)({ source: 'a source with a very long name, '.repeat(4), received: 1, total: 100 })
  expect(written[0]?.slice('\r\u001B[2K'.length)).toHaveLength(79)
})

test('a length that is not known gives bytes alone', () => {
  const { stream, written } = recorder(false)
  const progress = createProgress(stream, () => 0)
  progress({ source: 'hub', received: 0, total: undefined })
  progress({ source: 'hub', received: 15e6, total: undefined })
  expect(written[0]).toBe('0.0 MB  hub\n')
  expect(written).toHaveLength(2)
})

import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Line, readLines } from './lines.ts'
import { hashLine, maxLineBytes } from './record.ts'

let folder: string
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'audit-lines-'))))
afterAll(() => rm(folder, { recursive: true }))

async function linesOf(content: string, from = 0): Promise<Line[]> {
  const path = join(folder, 'file')
  await writeFile(path, content, 'latin1')
  const file = await open(path)
  try {
    return await Array.fromAsync(readLines(file, from))
  } finally {
    await file.close()
  }
}

test('gives every line with its place, its bytes and its hash, wherever the reads cut the file', async () => {
  const lines = fc.array(fc.nat(3000).map((length) => `${'a'.repeat(length)}\n`), { minLength: 100, maxLength: 500 })
  await fc.assert(
    fc.asyncProperty(lines, fc.nat(5), async (texts, rest) => {
      const all = rest === 0 ? texts : [...texts, 'b'.repeat(rest)]
      const read = await linesOf(all.join(''))
      let start = 0
      expect(read.length).toBe(all.length)
      all.forEach((text, index) => {
        const whole = text.endsWith('\n')
        const long = text.length > maxLineBytes
        expect(read[index]).toEqual({
          text: text.replace('\n', '').slice(0, maxLineBytes), start, bytes: text.length, hash: long ? '' : hashLine(text), whole,
        })
        start += text.length
      })
    }),
    { numRuns: 20 },
  )
})

test('keeps no more of an endless line than its beginning', async () => {
  const [line, next] = await linesOf(`${'x'.repeat(2_000_000)}\nshort\n`)
  expect(line).toMatchObject({ bytes: 2_000_001, hash: '', whole: true })
  expect(line?.text.length).toBe(maxLineBytes)
  expect(next).toMatchObject({ text: 'short', start: 2_000_001 })
})

test('starts where it is told', async () => {
  expect((await linesOf('one\ntwo\n', 4)).map(({ text, start }) => ({ text, start }))).toEqual([{ text: 'two', start: 4 }])
})

test('keeps bytes that are no ASCII apart', async () => {
  expect((await linesOf('\xc3\xa9\n')).map(({ text }) => text)).toEqual(['\xc3\xa9'])
})

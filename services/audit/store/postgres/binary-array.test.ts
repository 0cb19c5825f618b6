import fc from 'fast-check'
import { expect, test } from 'vitest'
import { byteaArray } from './binary-array.ts'

/** Reads what array_recv of PostgreSQL reads. */
function read(bytes: Buffer): Buffer[] {
  const dimensions = bytes.readInt32BE(0)
  expect(bytes.readInt32BE(4)).toBe(0)
  expect(bytes.readInt32BE(8)).toBe(17)
  if (dimensions === 0) {
    expect(bytes).toHaveLength(12)
    return []
  }
  expect([dimensions, bytes.readInt32BE(16)]).toEqual([1, 1])
  const items: Buffer[] = []
  let at = 20
  for (let left = bytes.readInt32BE(12); left > 0; left--) {
    const length = bytes.readInt32BE(at)
    items.push(bytes.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  expect(at).toBe(bytes.length)
  return items
}

test('what is written is what PostgreSQL reads', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 10 }), (items) => {
      expect(read(byteaArray(items)).map((item) => item.toString('hex'))).toEqual(items.map((item) => Buffer.from(item).toString('hex')))
    }),
  )
})

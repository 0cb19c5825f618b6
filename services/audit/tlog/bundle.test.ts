import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeBundle, encodeBundle } from './bundle.ts'
import { MalformedError } from './malformed.ts'

const entries = fc.array(fc.option(fc.uint8Array({ minLength: 1, maxLength: 600 }), { nil: undefined }), { maxLength: 256 })

test('a bundle gives back its entries, pruned ones too', () => {
  fc.assert(
    fc.property(entries, (all) => {
      const read = decodeBundle(encodeBundle(all), all.length)
      expect(read.length).toBe(all.length)
      for (const [index, entry] of all.entries()) expect(read[index] === undefined ? undefined : Buffer.from(read[index])).toEqual(entry === undefined ? undefined : Buffer.from(entry))
    }),
  )
  const longest = new Uint8Array(65_535).fill(3)
  expect(decodeBundle(encodeBundle([longest]), 1)[0]?.length).toBe(65_535)
})

test('is laid out as tlog-tiles says', () => {
  expect(encodeBundle([Buffer.from('ab'), undefined, Buffer.alloc(258, 'c')]).toString('latin1')).toBe(`\0\x02ab\0\0\x01\x02${'c'.repeat(258)}`)
})

test('what is cut off, too long or of another width is told from a bundle', () => {
  fc.assert(
    fc.property(entries, fc.nat(), (all, cut) => {
      const bytes = encodeBundle(all)
      if (bytes.length > 0) expect(() => decodeBundle(bytes.subarray(0, cut % bytes.length), all.length)).toThrow(MalformedError)
      expect(() => decodeBundle(Buffer.concat([bytes, Buffer.of(0, 0)]), all.length)).toThrow(`a bundle of ${all.length} entries has 2 bytes behind the last`)
      expect(() => decodeBundle(bytes, all.length + 1)).toThrow(`a bundle has ${all.length} entries, not ${all.length + 1}`)
    }),
  )
  expect(() => decodeBundle(Buffer.of(0), 1)).toThrow('a bundle ends within the length of entry 0')
  expect(() => decodeBundle(Buffer.of(0, 2, 1), 1)).toThrow('a bundle ends within entry 0')
})

test('takes no entry that the format has no room for', () => {
  expect(() => encodeBundle([new Uint8Array(65_536)])).toThrow(RangeError)
  expect(() => encodeBundle([new Uint8Array(0)])).toThrow(RangeError)
})

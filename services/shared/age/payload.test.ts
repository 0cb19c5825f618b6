import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AgeError } from './age-error.ts'
import { chunkBytes, openChunk, payloadKey, plainSize, sealChunk, sealedChunkBytes, sealedSize, tagBytes } from './payload.ts'

const key = payloadKey(randomBytes(16), randomBytes(16))
const index = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })

test('a chunk opens under its own number and place alone, and with no bit changed', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), index, fc.boolean(), fc.nat(), fc.nat(7), (plain, at, last, byte, bit) => {
      const sealed = sealChunk(key, at, last, plain)
      expect(sealed).toHaveLength(plain.length + tagBytes)
      expect(openChunk(key, at, last, sealed)).toEqual(Buffer.from(plain))
      const flipped = Buffer.from(sealed)
      const place = byte % flipped.length
      flipped.writeUInt8(flipped.readUInt8(place) ^ (1 << bit), place)
      expect(() => openChunk(key, at, last, flipped)).toThrow(AgeError)
      expect(() => openChunk(key, at, !last, sealed)).toThrow(AgeError)
      expect(() => openChunk(key, at === 0 ? 1 : at - 1, last, sealed)).toThrow(AgeError)
      expect(() => openChunk(key, at, last, sealed.subarray(0, -1))).toThrow(AgeError)
      expect(() => openChunk(key, at, last, sealed.subarray(0, tagBytes - 1))).toThrow(AgeError)
    }),
  )
})

test('sizes go both ways, and what no payload can have is refused', () => {
  const near = fc.tuple(fc.nat(5), fc.integer({ min: -20, max: 20 })).map(([chunks, off]) => Math.max(0, chunks * chunkBytes + off))
  fc.assert(
    fc.property(near, (plain) => {
      expect(plainSize(sealedSize(plain))).toBe(plain)
    }),
  )
  fc.assert(
    fc.property(fc.nat(5), fc.integer({ min: 1, max: tagBytes }), (chunks, off) => {
      // A last chunk that holds nothing, or less than its tag.
      fc.pre(chunks > 0 || off < tagBytes)
      expect(() => plainSize(chunks * sealedChunkBytes + off)).toThrow(AgeError)
    }),
  )
  expect(() => plainSize(0)).toThrow(AgeError)
})

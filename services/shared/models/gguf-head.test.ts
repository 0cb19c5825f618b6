import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ggufHeadLength } from './gguf-head.ts'

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
const string = (text: string): Buffer => Buffer.concat([u64(Buffer.byteLength(text)), Buffer.from(text)])

interface Value {
  type: number
  bytes: Buffer
}

const scalar = fc.constantFrom(...Object.entries({ 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 })).chain(([type, size]) =>
  fc.uint8Array({ minLength: size, maxLength: size }).map((bytes): Value => ({ type: Number(type), bytes: Buffer.from(bytes) })),
)
const text = fc.string({ maxLength: 20 }).map((value): Value => ({ type: 8, bytes: string(value) }))
const simple = fc.oneof(scalar, text)
const listOf = (one: fc.Arbitrary<Value>): fc.Arbitrary<Value> =>
  one.chain(({ type, bytes }) => fc.nat(5).map((count): Value => ({ type: 9, bytes: Buffer.concat([u32(type), u64(count), ...Array<Buffer>(count).fill(bytes)]) })))
const value = fc.oneof(simple, listOf(simple), listOf(listOf(simple)))

const head = fc
  .record({
    version: fc.constantFrom(2, 3),
    entries: fc.array(fc.tuple(fc.string({ maxLength: 10 }), value), { maxLength: 8 }),
    tensors: fc.array(fc.tuple(fc.string({ maxLength: 10 }), fc.array(fc.nat(1000), { maxLength: 4 })), { maxLength: 8 }),
  })
  .map(({ version, entries, tensors }) =>
    Buffer.concat([
      Buffer.from('GGUF'),
      u32(version),
      u64(tensors.length),
      u64(entries.length),
      ...entries.flatMap(([key, { type, bytes }]) => [string(key), u32(type), bytes]),
      ...tensors.flatMap(([name, dimensions]) => [string(name), u32(dimensions.length), ...dimensions.map(u64), u32(0), u64(0)]),
    ]),
  )

test('the head ends where it ends, whatever follows, and is known only when all of it is there', () => {
  fc.assert(
    fc.property(head, fc.uint8Array({ maxLength: 100 }), fc.nat(), (bytes, data, cut) => {
      expect(ggufHeadLength(Buffer.concat([bytes, data]))).toBe(bytes.length)
      expect(ggufHeadLength(bytes.subarray(0, cut % bytes.length))).toBeUndefined()
    }),
  )
})

test('what is no GGUF is known as such, and hostile counts cost nothing', () => {
  expect(ggufHeadLength(Buffer.alloc(100, 'x'))).toBe('none')
  expect(ggufHeadLength(Buffer.concat([Buffer.from('GGUF'), u32(9), u64(0), u64(0)]))).toBe('none')
  const huge = 2 ** 53 - 1
  const start = [Buffer.from('GGUF'), u32(3), u64(huge), u64(huge), string('k')]
  expect(ggufHeadLength(Buffer.concat([...start, u32(13)]))).toBe('none')
  expect(ggufHeadLength(Buffer.concat([...start, u32(9), u32(12), u64(huge)]))).toBeUndefined()
  expect(ggufHeadLength(Buffer.concat([...start, u32(8), u64(huge)]))).toBeUndefined()
  const nested = Array.from({ length: 50 }, () => Buffer.concat([u32(9), u64(huge)]))
  expect(ggufHeadLength(Buffer.concat([...start, u32(9), ...nested]))).toBe('none')
})

test('random bytes after the magic never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const length = ggufHeadLength(Buffer.concat([Buffer.from('GGUF'), u32(3), bytes]))
      expect(length === undefined || length === 'none' || length <= bytes.length + 8).toBe(true)
    }),
  )
})

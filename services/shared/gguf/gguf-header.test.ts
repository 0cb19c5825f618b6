import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { GgufError } from './gguf-error.ts'
import { parseGgufHeader } from './gguf-header.ts'

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const uint64 = (value: number | bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
const text = (value: string): Buffer => Buffer.concat([uint64(Buffer.byteLength(value)), Buffer.from(value)])
const entry = (key: string, type: number, value: Buffer): Buffer => Buffer.concat([text(key), uint32(type), value])
const tensor = (name: string, dimensions: readonly (number | bigint)[], type: number, offset: number): Buffer =>
  Buffer.concat([text(name), uint32(dimensions.length), ...dimensions.map(uint64), uint32(type), uint64(offset)])

interface Parts {
  magic?: string
  version?: number
  tensors?: Buffer[]
  entries?: Buffer[]
  tensorCount?: bigint
  entryCount?: bigint
  data?: number
}

function file({ magic = 'GGUF', version = 3, tensors = [], entries = [], tensorCount, entryCount, data = 0 }: Parts): Buffer {
  const header = Buffer.concat([Buffer.from(magic, 'latin1'), uint32(version), uint64(tensorCount ?? tensors.length), uint64(entryCount ?? entries.length), ...entries, ...tensors])
  return Buffer.concat([header, Buffer.alloc(Math.ceil(header.length / 32) * 32 - header.length + data)])
}

const good = file({
  entries: [
    entry('general.architecture', 8, text('llama')),
    entry('llama.block_count', 4, uint32(2)),
    entry('a.float', 6, Buffer.from(Float32Array.of(1.5).buffer)),
    entry('a.flag', 7, Buffer.of(1)),
    entry('a.large', 10, uint64(2n ** 60n)),
    entry('a.list', 9, Buffer.concat([uint32(5), uint64(3), Buffer.from(Int32Array.of(-1, 2, 3).buffer)])),
    entry('tokenizer.ggml.tokens', 9, Buffer.concat([uint32(8), uint64(2), text('<s>'), text('ä')])),
  ],
  tensors: [tensor('token_embd.weight', [32, 4], 8, 0), tensor('odd.weight', [32], 99, 160), tensor('output_norm.weight', [32], 0, 192)],
  data: 320,
})

const reasonOf = (bytes: Buffer, size = bytes.length): string => {
  try {
    return parseGgufHeader(bytes, size, '/m.gguf') === undefined ? 'more' : 'read'
  } catch (thrown) {
    if (!(thrown instanceof GgufError)) throw thrown
    expect(thrown.message).toContain('/m.gguf')
    return thrown.reason
  }
}

test('a header is read, of whatever types its values are', () => {
  const header = parseGgufHeader(good, good.length, '/m.gguf')
  expect(Object.fromEntries(header?.metadata ?? [])).toEqual({
    'general.architecture': 'llama',
    'llama.block_count': 2,
    'a.float': 1.5,
    'a.flag': true,
    'a.large': 2n ** 60n,
    'a.list': { length: 3, items: [-1, 2, 3] },
    'tokenizer.ggml.tokens': { length: 2, items: undefined },
  })
  expect(header?.tensors).toEqual([
    { name: 'token_embd.weight', dimensions: [32, 4], elements: 128, type: 'Q8_0', bytes: 136 },
    { name: 'odd.weight', dimensions: [32], elements: 32, type: 'type 99', bytes: 32 },
    { name: 'output_norm.weight', dimensions: [32], elements: 32, type: 'F32', bytes: 128 },
  ])
})

describe('what is wrong with a file is told', () => {
  test.each<[string, Buffer, string]>([
    ['an empty file', Buffer.alloc(0), 'not_gguf'],
    ['another format', file({ magic: 'GGML' }), 'not_gguf'],
    ['one cut short in its first bytes', good.subarray(0, 20), 'file_damaged'],
    ['an unknown version', file({ version: 99 }), 'unsupported_gguf_version'],
    ['a big-endian file', file({ version: 3 << 24 }), 'unsupported_gguf_version'],
    ['a huge count of tensors', file({ tensorCount: 2n ** 62n }), 'file_damaged'],
    ['a huge count of metadata', file({ entryCount: 2n ** 64n - 1n }), 'file_damaged'],
    ['an endless text', file({ entries: [Buffer.concat([text('k'), uint32(8), uint64(2n ** 50n)])] }), 'file_damaged'],
    ['an endless array', file({ entries: [Buffer.concat([text('k'), uint32(9), uint32(4), uint64(2n ** 62n)])] }), 'file_damaged'],
    ['an endless array of texts', file({ entries: [Buffer.concat([text('k'), uint32(9), uint32(8), uint64(2n ** 62n)])], data: 1000 }), 'file_damaged'],
    ['an array of arrays', file({ entries: [Buffer.concat([text('k'), uint32(9), uint32(9), uint64(1)])] }), 'file_damaged'],
    ['a value of an unknown type', file({ entries: [entry('k', 77, uint32(0))] }), 'file_damaged'],
    ['a key twice', file({ entries: [entry('k', 4, uint32(0)), entry('k', 4, uint32(0))] }), 'file_damaged'],
    ['an alignment of zero', file({ entries: [entry('general.alignment', 4, uint32(0))] }), 'file_damaged'],
    ['a tensor twice', file({ tensors: [tensor('t', [1], 0, 0), tensor('t', [1], 0, 32)], data: 64 }), 'file_damaged'],
    ['a tensor of five dimensions', file({ tensors: [tensor('t', [1, 1, 1, 1, 1], 0, 0)], data: 32 }), 'file_damaged'],
    ['a tensor of endless size', file({ tensors: [tensor('t', [2n ** 40n, 2n ** 40n], 0, 0)], data: 32 }), 'file_damaged'],
    ['a tensor of no size', file({ tensors: [tensor('t', [0], 0, 0)], data: 32 }), 'file_damaged'],
    ['a tensor beyond the end', file({ tensors: [tensor('t', [64], 0, 0)], data: 255 }), 'file_damaged'],
    ['a tensor of an unknown type beyond the end', file({ tensors: [tensor('t', [64], 99, 4096)], data: 256 }), 'file_damaged'],
    ['rows that are no whole blocks', file({ tensors: [tensor('t', [33], 8, 0)], data: 256 }), 'file_damaged'],
  ])('%s', (_what, bytes, reason) => {
    expect(reasonOf(bytes)).toBe(reason)
  })
})

test('of the beginning of a file, more is asked for until the header is whole; and a file cut anywhere is told', () => {
  const whole = good.length - 320
  for (let length = 24; length < good.length; length++) {
    expect(length < whole - 31 ? ['more'] : ['more', 'read']).toContain(reasonOf(good.subarray(0, length), good.length))
    expect(reasonOf(good.subarray(0, length))).toBe('file_damaged')
  }
})

test('whatever bytes are changed, it ends in a result or a GgufError, and soon', () => {
  const change = fc.record({ at: fc.nat(good.length - 1), byte: fc.integer({ min: 0, max: 255 }) })
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 12 }), fc.nat(good.length), (changes, cut) => {
      const bytes = Buffer.from(good)
      for (const { at, byte } of changes) bytes[at] = byte
      reasonOf(bytes)
      reasonOf(bytes.subarray(0, cut))
      reasonOf(bytes.subarray(0, cut), 2 ** 40)
    }),
    { numRuns: 3000 },
  )
})

test('what a header counts costs nothing', () => {
  // All lengths at once as large as the file is said to be: nothing is allocated for them.
  const hostile = file({ entries: [Buffer.concat([text('k'), uint32(9), uint32(8), uint64(2n ** 39n)])], data: 100_000 })
  const before = process.memoryUsage().heapUsed
  const startedAt = performance.now()
  expect(reasonOf(hostile, 2 ** 40)).toBe('more')
  expect(performance.now() - startedAt).toBeLessThan(1000)
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(32 * 2 ** 20)
})

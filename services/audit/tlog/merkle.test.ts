import fc from 'fast-check'
import { expect, test } from 'vitest'
import { emptyRoot, leafHash, leafHashes, nodeHash, perfectRoot } from './merkle.ts'
import { referenceLeaf, referenceRoot } from './test-support/reference-tree.ts'

test('the empty tree has the SHA-256 of nothing as its root', () => {
  expect(emptyRoot().toString('hex')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
})

test('a leaf is what RFC 6962 says, whatever its bytes and however long', () => {
  const entry = fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 8190, max: 8195 }).map((length) => new Uint8Array(length).fill(length)))
  fc.assert(
    fc.property(fc.array(entry), (entries) => {
      expect(entries.map((one) => leafHash(one).toString('hex'))).toEqual(entries.map(referenceLeaf))
      expect(leafHashes(entries).toString('hex')).toBe(entries.map(referenceLeaf).join(''))
    }),
  )
})

test('the root over a power of two of leaves is what RFC 6962 says', () => {
  for (let height = 0; height <= 8; height++) {
    const leaves = Array.from({ length: 2 ** height }, (_, index) => referenceLeaf(Buffer.of(index)))
    expect(perfectRoot(Buffer.from(leaves.join(''), 'hex')).toString('hex')).toBe(referenceRoot(leaves))
  }
  expect(() => perfectRoot(Buffer.alloc(96))).toThrow(RangeError)
  expect(() => perfectRoot(Buffer.alloc(0))).toThrow(RangeError)
})

test('a node is made of two whole hashes and nothing else', () => {
  const leaves = [referenceLeaf(Buffer.of(1)), referenceLeaf(Buffer.of(2))]
  const [left, right] = leaves.map((hash) => Buffer.from(hash, 'hex'))
  expect(nodeHash(left ?? Buffer.alloc(0), right ?? Buffer.alloc(0)).toString('hex')).toBe(referenceRoot(leaves))
  expect(() => nodeHash(Buffer.alloc(31), Buffer.alloc(32))).toThrow(RangeError)
  expect(() => nodeHash(Buffer.alloc(32), Buffer.alloc(33))).toThrow(RangeError)
})

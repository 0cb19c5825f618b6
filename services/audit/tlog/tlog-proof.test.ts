import fc from 'fast-check'
import { expect, test } from 'vitest'
import { signCheckpoint } from './checkpoint.ts'
import { edgeRoot, emptyEdge, extendEdge } from './edge.ts'
import { MalformedError } from './malformed.ts'
import { leafHashes } from './merkle.ts'
import { ed25519Signer, ed25519Verifier, UnverifiedError } from './note.ts'
import { makeNoteKey } from './note-key.ts'
import { proveInclusion } from './proofs.ts'
import { formatTlogProof, parseTlogProof, verifyTlogProof } from './tlog-proof.ts'

const origin = 'ledger.example/log'
const key = makeNoteKey(origin)
const keys = { origin, log: [ed25519Verifier(key.vkey)] }
const entries = Array.from({ length: 100 }, (_, index) => Buffer.from(`record ${index}`))
const hashes = leafHashes(entries)
const checkpoint = signCheckpoint({ origin, size: 100, root: edgeRoot(extendEdge(emptyEdge, hashes).edge) }, [ed25519Signer(key.skey)])
const proof = await proveInclusion(42, 100, async () => hashes)
const receipt = formatTlogProof({ index: 42, proof, checkpoint, extra: entries[42] ?? Buffer.alloc(0) })

test('a proof is laid out as tlog-proof says', () => {
  const lines = receipt.split('\n')
  expect(lines.slice(0, 3)).toEqual(['c2sp.org/tlog-proof@v1', `extra ${Buffer.from('record 42').toString('base64')}`, 'index 42'])
  expect(lines.slice(3, 3 + proof.length)).toEqual(proof.map((hash) => hash.toString('base64')))
  expect(receipt.endsWith(`\n\n${checkpoint}`)).toBe(true)
  expect(formatTlogProof({ index: 0, proof: [], checkpoint })).toBe(`c2sp.org/tlog-proof@v1\nindex 0\n\n${checkpoint}`)
})

test('every proof is read as it was written', () => {
  const hash = fc.uint8Array({ minLength: 32, maxLength: 32 })
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.array(hash, { maxLength: 63 }), fc.option(fc.uint8Array({ maxLength: 300 }), { nil: undefined }), (index, proof, extra) => {
      const text = formatTlogProof({ index, proof, checkpoint, ...(extra === undefined ? {} : { extra }) })
      expect(parseTlogProof(text)).toEqual({ index, proof: proof.map((one) => Buffer.from(one)), checkpoint, ...(extra === undefined ? {} : { extra: Buffer.from(extra) }) })
      expect(formatTlogProof(parseTlogProof(text))).toBe(text)
    }),
  )
})

test('verifies for its own entry, place and log alone', () => {
  const parsed = parseTlogProof(receipt)
  expect(verifyTlogProof(parsed, Buffer.from('record 42'), keys).size).toBe(100)
  expect(() => verifyTlogProof(parsed, Buffer.from('record 43'), keys)).toThrow('the proof does not lead from the entry to the root')
  expect(() => verifyTlogProof({ ...parsed, index: 43 }, Buffer.from('record 42'), keys)).toThrow(UnverifiedError)
  expect(() => verifyTlogProof({ ...parsed, index: 100 }, Buffer.from('record 42'), keys)).toThrow('beyond the size')
  expect(() => verifyTlogProof({ ...parsed, proof: parsed.proof.slice(1) }, Buffer.from('record 42'), keys)).toThrow(UnverifiedError)
  expect(() => verifyTlogProof(parsed, Buffer.from('record 42'), { ...keys, log: [ed25519Verifier(makeNoteKey(origin).vkey)] })).toThrow(UnverifiedError)
})

test('no bit of a receipt that counts can be another', () => {
  const bytes = Buffer.from(receipt)
  const start = receipt.indexOf('index ')
  for (let bit = start * 8; bit < bytes.length * 8; bit++) {
    const changed = Buffer.from(bytes)
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    expect(() => verifyTlogProof(parseTlogProof(changed.toString()), Buffer.from('record 42'), keys), `bit ${bit}`).toThrow(/./)
  }
})

test('says what is wrong with what is no proof', () => {
  for (const [text, problem] of [
    ['', 'no empty line'],
    [receipt.replace('@v1', '@v2'), 'does not begin with'],
    [` ${receipt}`, 'does not begin with'],
    [receipt.replace('index 42', 'index 042'), 'not a decimal'],
    [receipt.replace('index 42', 'index -1'), 'not a decimal'],
    [receipt.replace('index 42\n', ''), 'no line with its index'],
    [receipt.replace('index 42', 'index 42\r'), 'not a decimal'],
    [receipt.replace('extra ', 'extra  '), 'not base64'],
    [receipt.replace('index 42\n', 'index 42\nAAAA\n'), 'has 3 bytes'],
    [receipt.replace('index 42\n', `index 42\n${`${hashes.subarray(0, 32).toString('base64')}\n`.repeat(64)}`), 'more than 63 hashes'],
    [receipt.replace('\n\n', '\n\n\n'), 'not a dash|less than three lines|empty line'],
    [receipt.slice(0, -1), 'does not end in a newline'],
    [receipt.replace('extra ', `extra ${'A'.repeat(100_000)}`), 'more than 65536 bytes'],
    ['x'.repeat(1_000_000), 'longer than'],
  ] as const) {
    const verify = (): unknown => verifyTlogProof(parseTlogProof(text), Buffer.from('record 42'), keys)
    expect(verify, JSON.stringify(text.slice(0, 80))).toThrow(MalformedError)
    expect(verify).toThrow(new RegExp(problem))
  }
})

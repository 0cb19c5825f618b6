import { expect, test } from 'vitest'
import { signCheckpoint } from './checkpoint.ts'
import { cosignatureSigner, cosignatureVerifier } from './cosignature.ts'
import { MalformedError } from './malformed.ts'
import { ed25519Signer, formatSignature, parseNote, signatureBy, UnverifiedError } from './note.ts'
import { makeNoteKey } from './note-key.ts'
import { type AddCheckpoint, formatAddCheckpoint, readAnswer, type WitnessAnswer } from './witness.ts'

const key = makeNoteKey('ledger.example/log')
const witness = makeNoteKey('witness.example/w1', 'cosignature')
const checkpoint = signCheckpoint({ origin: 'ledger.example/log', size: 9, root: Buffer.alloc(32, 9) }, [ed25519Signer(key.skey)])
const request: AddCheckpoint = { oldSize: 7, proof: [Buffer.alloc(32, 1), Buffer.alloc(32, 2)], checkpoint }
const cosignature = formatSignature(signatureBy(cosignatureSigner(witness.skey, () => 1_700_000_000), parseNote(checkpoint).text))

function answer(status: number, body: string | Uint8Array, contentType?: string): WitnessAnswer {
  return readAnswer({ status, contentType, body: Buffer.from(body) }, request, [cosignatureVerifier(witness.vkey)])
}

test('asks as tlog-witness says', () => {
  expect(formatAddCheckpoint(request)).toBe(`old 7\n${Buffer.alloc(32, 1).toString('base64')}\n${Buffer.alloc(32, 2).toString('base64')}\n\n${checkpoint}`)
  expect(formatAddCheckpoint({ oldSize: 0, proof: [], checkpoint })).toBe(`old 0\n\n${checkpoint}`)
  expect(() => formatAddCheckpoint({ ...request, oldSize: 0 })).toThrow(RangeError)
  expect(() => formatAddCheckpoint({ ...request, proof: Array.from({ length: 64 }, () => Buffer.alloc(32)) })).toThrow(RangeError)
})

test('takes cosignatures that its key has made of this checkpoint, and no others', () => {
  const stranger = formatSignature(signatureBy(cosignatureSigner(makeNoteKey('witness.example/w2', 'cosignature').skey, () => 5), parseNote(checkpoint).text))
  expect(answer(200, stranger + cosignature)).toEqual({ kind: 'cosigned', signatures: [expect.objectContaining({ name: 'witness.example/w1' })] })
  expect(() => answer(200, stranger)).toThrow(UnverifiedError)
  const ofAnother = formatSignature(signatureBy(cosignatureSigner(witness.skey, () => 5), 'ledger.example/log\n8\n'))
  expect(() => answer(200, ofAnother)).toThrow('the signature by witness.example/w1 is wrong')
  for (const malformed of ['', '\n', cosignature.slice(0, -1), `${cosignature}\n`, 'ok\n', Buffer.of(0xe2, 0x80), 'x'.repeat(70_000)]) expect(() => answer(200, malformed)).toThrow(MalformedError)
})

test('tells from where to ask again, and when the witness knows another log', () => {
  expect(answer(409, '5\n', 'text/x.tlog.size')).toEqual({ kind: 'other_size', size: 5 })
  expect(answer(409, '0\n', 'text/x.tlog.size; charset=utf-8')).toEqual({ kind: 'other_size', size: 0 })
  expect(answer(409, '7\n', 'text/x.tlog.size')).toEqual({ kind: 'fork' })
  expect(answer(409, 'conflict', 'text/plain')).toEqual({ kind: 'fork' })
  expect(answer(409, '')).toEqual({ kind: 'fork' })
  for (const malformed of ['5', '05\n', '-1\n', 'five\n', '', '5\n\n']) expect(() => answer(409, malformed, 'text/x.tlog.size'), malformed).toThrow(MalformedError)
})

test('tells why a witness refused', () => {
  const reasons = { 400: 'bad_request', 403: 'unknown_key', 404: 'unknown_log', 422: 'bad_proof', 429: 'other', 500: 'other', 204: 'other', 302: 'other' } as const
  for (const [status, reason] of Object.entries(reasons)) expect(answer(Number(status), 'whatever')).toEqual({ kind: 'refused', reason, status: Number(status) })
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatCheckpoint, openCheckpoint, parseCheckpoint, signCheckpoint } from './checkpoint.ts'
import { cosignatureSigner, cosignatureVerifier, cosignedAt } from './cosignature.ts'
import { MalformedError } from './malformed.ts'
import { ed25519Signer, ed25519Verifier, openNote, parseNote, signatureBy, signNote, UnverifiedError } from './note.ts'
import { makeNoteKey } from './note-key.ts'
import { addSignatures } from './witness.ts'

const origin = 'ledger.example/log'
const root = Buffer.alloc(32, 0xa5)
const log = makeNoteKey(origin)
const witness = makeNoteKey('witness.example/w1', 'cosignature')
const keys = { origin, log: [ed25519Verifier(log.vkey)], witnesses: [cosignatureVerifier(witness.vkey)] }
const signed = signCheckpoint({ origin, size: 7_654_321, root }, [ed25519Signer(log.skey)])
const cosigner = cosignatureSigner(witness.skey, () => 1_700_000_000.7)

test('a checkpoint is laid out as tlog-checkpoint says', () => {
  expect(parseNote(signed).text).toBe('ledger.example/log\n7654321\npaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaU=\n')
  expect(openCheckpoint(signed, keys)).toEqual({ origin, size: 7_654_321, root, extensions: [], cosigned: [], text: parseNote(signed).text })
})

test('every checkpoint is read as it was written', () => {
  const extension = fc.string({ minLength: 1, unit: 'grapheme-ascii' })
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.array(extension, { maxLength: 3 }), (size, root, extensions) => {
      const text = formatCheckpoint({ origin, size, root, extensions })
      expect(parseCheckpoint(text)).toEqual({ origin, size, root: Buffer.from(root), extensions })
    }),
  )
})

test('says what is wrong with what is no checkpoint', () => {
  const hash = root.toString('base64')
  for (const [text, problem] of [
    ['', 'less than three lines'],
    [`${origin}\n5\n`, 'less than three lines'],
    [`${origin}\n5\n${hash}`, 'less than three lines'],
    [`\n5\n${hash}\n`, 'empty line'],
    [`${origin}\n05\n${hash}\n`, 'not a decimal'],
    [`${origin}\n-1\n${hash}\n`, 'not a decimal'],
    [`${origin}\n5 \n${hash}\n`, 'not a decimal'],
    [`${origin}\n0x5\n${hash}\n`, 'not a decimal'],
    [`${origin}\n1e3\n${hash}\n`, 'not a decimal'],
    [`${origin}\n\n${hash}\n`, 'not a decimal'],
    [`${origin}\n9007199254740992\n${hash}\n`, 'not a decimal'],
    [`${origin}\n5\n${hash.slice(4)}\n`, '29 bytes'],
    [`${origin}\n5\n${hash.replace('=', '')}\n`, 'not base64'],
    [`${origin}\n5\n${hash.replace('aU=', 'aV=')}\n`, 'not base64'],
    [`${origin}\n5\n${hash}\n\n`, 'empty line'],
  ] as const) {
    expect(() => parseCheckpoint(text), JSON.stringify(text)).toThrow(MalformedError)
    expect(() => parseCheckpoint(text)).toThrow(new RegExp(problem))
  }
  for (const wrong of [{ origin: '' }, { origin: 'a\nb' }, { size: -1 }, { size: 0.5 }, { size: 2 ** 53 }, { root: root.subarray(1) }, { extensions: [''] }]) {
    expect(() => formatCheckpoint({ origin, size: 5, root, ...wrong })).toThrow(RangeError)
  }
})

test('opens with the log\'s key alone, under its own name', () => {
  expect(() => openCheckpoint(signed, { ...keys, origin: 'ledger.example/other' })).toThrow(new UnverifiedError('the checkpoint is one of another log'))
  expect(() => openCheckpoint(signed, { ...keys, log: [ed25519Verifier(makeNoteKey(origin).vkey)] })).toThrow(UnverifiedError)
  // A witness alone does not make a checkpoint the log's.
  const { text } = parseNote(signed)
  expect(() => openCheckpoint(signNote(text, [cosigner]), keys)).toThrow(UnverifiedError)
  // While the key changes, either may have signed.
  const next = makeNoteKey(origin)
  const both = [ed25519Verifier(log.vkey), ed25519Verifier(next.vkey)]
  expect(openCheckpoint(signNote(text, [ed25519Signer(next.skey)]), { ...keys, log: both }).size).toBe(7_654_321)
})

test('tells which witnesses have cosigned, and when', () => {
  const { text } = parseNote(signed)
  const cosigned = addSignatures(signed, [signatureBy(cosigner, text)])
  const opened = openCheckpoint(cosigned, keys)
  expect(opened.cosigned).toEqual([{ name: 'witness.example/w1', keyId: keys.witnesses[0]?.keyId, at: 1_700_000_000 }])
  // Cosigning anew takes the place of the old one.
  const later = addSignatures(cosigned, [signatureBy(cosignatureSigner(witness.skey, () => 1_700_000_060), text)])
  expect(openCheckpoint(later, keys).cosigned.map(({ at }) => at)).toEqual([1_700_000_060])
  expect(parseNote(later).signatures.length).toBe(2)
  // A wrong one spoils it, an unknown one doesn't.
  const wrong = addSignatures(signed, [signatureBy(cosigner, 'another text\n')])
  expect(() => openCheckpoint(wrong, keys)).toThrow('the signature by witness.example/w1 is wrong')
  expect(openCheckpoint(wrong, { ...keys, witnesses: [] }).cosigned).toEqual([])
})

test('a cosignature covers its time and the whole text, and is no signature of the other kind', () => {
  const { text } = parseNote(signed)
  const verifier = cosignatureVerifier(witness.vkey)
  const signature = cosigner.sign(text)
  expect(cosignedAt(signature)).toBe(1_700_000_000)
  for (let bit = 0; bit < signature.length * 8; bit++) {
    const changed = Buffer.from(signature)
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    expect(verifier.verify(text, changed), `bit ${bit}`).toBe(false)
  }
  expect(verifier.verify(text, signature)).toBe(true)
  expect(verifier.verify(`${text}an extension\n`, signature)).toBe(false)
  expect(verifier.verify(text, signature.subarray(1))).toBe(false)
  expect(verifier.verify(text, Buffer.concat([signature, Buffer.of(0)]))).toBe(false)
  expect(() => cosignatureVerifier(log.vkey)).toThrow(MalformedError)
  expect(() => ed25519Verifier(witness.vkey)).toThrow(MalformedError)
  expect(openNote(signNote(text, [cosigner]), [verifier]).text).toBe(text)
})

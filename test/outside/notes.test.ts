import { beforeAll, expect, test } from 'vitest'
import { openCheckpoint, signCheckpoint } from '../../services/audit/tlog/checkpoint.ts'
import { cosignatureSigner, cosignatureVerifier } from '../../services/audit/tlog/cosignature.ts'
import { edgeRoot, emptyEdge, extendEdge } from '../../services/audit/tlog/edge.ts'
import { MalformedError } from '../../services/audit/tlog/malformed.ts'
import { leafHashes } from '../../services/audit/tlog/merkle.ts'
import { ed25519Signer, ed25519Verifier, openNote, parseNote, signNote, UnverifiedError } from '../../services/audit/tlog/note.ts'
import { makeNoteKey } from '../../services/audit/tlog/note-key.ts'
import { proveInclusion } from '../../services/audit/tlog/proofs.ts'
import { formatTlogProof, parseTlogProof, verifyTlogProof } from '../../services/audit/tlog/tlog-proof.ts'
import { type OutsideTools, outsideTools } from '../support/outside-tools.ts'
import { mutationsOf } from './mutations.ts'

const origin = 'ledger.hospital.example/audit'
const log = makeNoteKey(origin)
const witness = makeNoteKey('witness.example/w1', 'cosignature')
const head = { origin, size: 123_456_789, root: Buffer.alloc(32, 7) }

let tools: OutsideTools
beforeAll(async () => void (tools = await outsideTools()))

test('golang.org/x/mod/sumdb/note opens what we sign and cosign', async () => {
  const signers = [ed25519Signer(log.skey), cosignatureSigner(witness.skey, () => Date.now() / 1000)]
  const texts = ['a text\n', 'of\n\nmany\nlines\n', 'Ökotöne — ☂ 漢字\n', parseNote(signCheckpoint(head, signers)).text]
  const notes = texts.map((text) => ({ note: signNote(text, text.startsWith(origin) ? signers : signers.slice(0, 1)), text, keys: text.startsWith(origin) ? [log.vkey, witness.vkey] : [log.vkey] }))
  expect(await tools.outside<string[]>(['open-notes'], notes)).toEqual(notes.map(() => ''))
  const others = notes.map((note) => ({ ...note, keys: [makeNoteKey(origin).vkey] }))
  expect(await tools.outside<string[]>(['open-notes'], others)).not.toContain('')
})

test('we open what golang.org/x/mod/sumdb/note signs and transparency-dev/formats cosigns', async () => {
  const { text } = parseNote(signCheckpoint(head, [ed25519Signer(log.skey)]))
  const before = Math.floor(Date.now() / 1000)
  const note = await tools.outside<string>(['sign'], { text, log: log.skey, witness: witness.skey })
  const opened = openCheckpoint(note, { origin, log: [ed25519Verifier(log.vkey)], witnesses: [cosignatureVerifier(witness.vkey)] })
  expect(opened).toMatchObject({ size: head.size, root: head.root, cosigned: [{ name: 'witness.example/w1' }] })
  expect(opened.cosigned[0]?.at).toBeGreaterThanOrEqual(before)
  expect(opened.cosigned[0]?.at).toBeLessThanOrEqual(Date.now() / 1000)
  // Ed25519 has one signature for a text and a key.
  expect(parseNote(note).signatures[0]).toEqual(parseNote(signCheckpoint(head, [ed25519Signer(log.skey)])).signatures[0])
})

test('what is no note is none for either', async () => {
  const good = signNote('a text\n', [ed25519Signer(log.skey)])
  const bad = [good.slice(0, -1), good.replace('— ', '- '), good.replace('— ', '—  '), `${good}\n`, good.replace('a text', 'a\ttext'), good.replace('\n\n', '\n'), good.replace(origin, 'a+b'), '']
  expect(await tools.outside<string[]>(['open-notes'], bad.map((note) => ({ note, keys: [log.vkey], text: 'a text\n' })))).not.toContain('')
  for (const note of bad) expect(() => openNote(note, [ed25519Verifier(log.vkey)]), JSON.stringify(note)).toThrow(/./)
})

/** Undefined when we don't open it. */
function textOf(note: string): string | undefined {
  try {
    return openNote(note, [ed25519Verifier(log.vkey)]).text
  } catch (error) {
    if (error instanceof MalformedError || error instanceof UnverifiedError) return undefined
    throw error
  }
}

test('we open no note that Go does not, and find the same text in it', async () => {
  const good = signNote(`${origin}\n5\n\nmore\n`, [ed25519Signer(log.skey), ed25519Signer(makeNoteKey('example.com/x').skey)])
  const opened = mutationsOf(good, 5_000).map((note) => ({ note, keys: [log.vkey], text: textOf(note) })).filter(({ text }) => text !== undefined)
  // What is done to the signature of a key that is not known.
  expect(opened.length).toBeGreaterThan(20)
  const verdicts = await tools.outside<string[]>(['open-notes'], opened)
  expect(opened.filter((_, at) => verdicts[at] !== '')).toEqual([])
})

test('we take no proof that Go does not', async () => {
  const record = Buffer.from('record 3')
  const hashes = leafHashes(Array.from({ length: 11 }, (_, index) => Buffer.from(`record ${index}`)))
  const checkpoint = signCheckpoint({ origin, size: 11, root: edgeRoot(extendEdge(emptyEdge, hashes).edge) }, [ed25519Signer(log.skey), ed25519Signer(makeNoteKey('example.com/x').skey)])
  const good = formatTlogProof({ index: 3, proof: await proveInclusion(3, 11, async () => hashes), checkpoint, extra: Buffer.alloc(300, 7) })
  const isGood = (proof: string): boolean => {
    try {
      verifyTlogProof(parseTlogProof(proof), record, { origin, log: [ed25519Verifier(log.vkey)] })
      return true
    } catch (error) {
      if (error instanceof MalformedError || error instanceof UnverifiedError) return false
      throw error
    }
  }
  const taken = [good, ...mutationsOf(good, 5_000).filter(isGood)]
  // What is done to the extra data, which nothing covers, and to the signature of a key that is not known.
  expect(taken.length).toBeGreaterThan(20)
  const verdicts = await tools.outside<string[]>(['receipts', log.vkey, origin], taken.map((proof) => ({ proof, record: record.toString('base64') })))
  expect(taken.filter((_, at) => verdicts[at] !== '')).toEqual([])
})

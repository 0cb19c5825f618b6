import { decodeRecord, type LogRecord } from './records/record.ts'
import { parseCheckpoint } from './tlog/checkpoint.ts'
import { MalformedError } from './tlog/malformed.ts'
import { ed25519Verifier, type NoteVerifier, parseNote, UnverifiedError } from './tlog/note.ts'
import { parseTlogProof, verifyTlogProof } from './tlog/tlog-proof.ts'

export interface VerifiedReceipt {
  ok: true
  /** Name of the log. */
  origin: string
  /** Place of the record in it, and the entries that it had when the receipt was made. */
  index: number
  size: number
  record: LogRecord
}

export interface ReceiptFault {
  ok: false
  /** proof: the record is not in the log that the checkpoint is of. */
  kind: 'malformed' | 'signature' | 'proof' | 'record'
  message: string
}

/** A key that is none. */
export class KeyError extends Error {}

/** Checks a receipt with nothing but the log's key, as text: that its record is in the log. Throws KeyError. */
export function verifyReceipt(text: string, vkey: string): VerifiedReceipt | ReceiptFault {
  const key = keyOf(vkey)
  try {
    const proof = parseTlogProof(text)
    if (proof.extra === undefined) return fault('record', 'It has no record with it.')
    // The key's own name is not the log's: any log of it would do. Which one it is, is told.
    const { origin } = parseCheckpoint(parseNote(proof.checkpoint).text)
    const { size } = verifyTlogProof(proof, proof.extra, { origin, log: [key] })
    const record = decodeRecord(proof.extra)
    if (record === undefined) return fault('record', 'What is in the log there is no record of a kind that this version knows.')
    return { ok: true, origin, index: proof.index, size, record }
  } catch (thrown) {
    if (thrown instanceof MalformedError) return fault('malformed', `It is no receipt, or was damaged: ${thrown.message}.`)
    if (thrown instanceof UnverifiedError) return fault(/signature|signed/.test(thrown.message) ? 'signature' : 'proof', `It does not hold: ${thrown.message}.`)
    throw thrown
  }
}

function keyOf(vkey: string): NoteVerifier {
  try {
    return ed25519Verifier(vkey)
  } catch (thrown) {
    if (thrown instanceof MalformedError) throw new KeyError(thrown.message)
    throw thrown
  }
}

function fault(kind: ReceiptFault['kind'], message: string): ReceiptFault {
  return { ok: false, kind, message }
}

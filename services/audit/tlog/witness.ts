import { MalformedError } from './malformed.ts'
import { formatNote, type NoteSignature, type NoteVerifier, parseNote, parseSignatures, verifySignatures } from './note.ts'
import { readDecimal, readUtf8 } from './strict-text.ts'

/** The texts of c2sp.org/tlog-witness: how a log asks a witness for a cosignature, and what that answers. */

/** The path behind the witness's submission prefix; a POST. */
export const addCheckpointPath = 'add-checkpoint'
/** No answer is longer. */
export const maxAnswerBytes = 64 * 1024
const maxHashes = 63

export interface AddCheckpoint {
  /** Size of the checkpoint that the witness cosigned last; 0 when it has none or we don't know. */
  oldSize: number
  /** From there to the checkpoint; empty from 0. */
  proof: readonly Uint8Array[]
  /** A signed note. */
  checkpoint: string
}

/** The body of the request. */
export function formatAddCheckpoint({ oldSize, proof, checkpoint }: AddCheckpoint): string {
  if (proof.length > maxHashes || (oldSize === 0 && proof.length > 0)) throw new RangeError(`a proof for a witness has at most ${maxHashes} hashes, and none from size 0`)
  const lines = [`old ${oldSize}`, ...proof.map((hash) => Buffer.from(hash).toString('base64'))]
  return `${lines.join('\n')}\n\n${checkpoint}`
}

export interface WitnessResponse {
  status: number
  contentType: string | undefined
  body: Uint8Array
}

export type WitnessAnswer =
  /** The signatures to add to the checkpoint. */
  | { kind: 'cosigned'; signatures: NoteSignature[] }
  /** It has cosigned another size than we said: ask again from there. */
  | { kind: 'other_size'; size: number }
  /** The log it knows is not this one: by then somebody has forked it. */
  | { kind: 'fork' }
  | { kind: 'refused'; reason: 'unknown_log' | 'unknown_key' | 'bad_proof' | 'bad_request' | 'other'; status: number }

/**
 * What a witness answered to a request. `witness` are its keys. Throws MalformedError for an answer that is not one, and UnverifiedError
 * when its keys have not signed.
 */
export function readAnswer({ status, contentType, body }: WitnessResponse, { oldSize, checkpoint }: AddCheckpoint, witness: readonly NoteVerifier[]): WitnessAnswer {
  if (body.length > maxAnswerBytes) throw new MalformedError(`the answer of a witness is longer than ${maxAnswerBytes} bytes`)
  if (status === 200) {
    const signatures = parseSignatures(readUtf8(body, 'the answer of a witness'))
    return { kind: 'cosigned', signatures: verifySignatures(parseNote(checkpoint).text, signatures, witness) }
  }
  if (status === 409) {
    if (contentType?.split(';')[0]?.trim() !== 'text/x.tlog.size') return { kind: 'fork' }
    const text = readUtf8(body, 'the answer of a witness')
    if (!text.endsWith('\n')) throw new MalformedError('the size that a witness answers does not end in a newline')
    const size = readDecimal(text.slice(0, -1), 'the size that a witness answers')
    return size === oldSize ? { kind: 'fork' } : { kind: 'other_size', size }
  }
  return { kind: 'refused', reason: refusals[status] ?? 'other', status }
}

/** The note with signatures added; those of a key that has signed it already take that one's place. */
export function addSignatures(note: string, added: readonly NoteSignature[]): string {
  const { text, signatures } = parseNote(note)
  const kept = signatures.filter(({ name, keyId }) => !added.some((one) => one.name === name && one.keyId === keyId))
  return formatNote({ text, signatures: [...kept, ...added] })
}

const refusals: Record<number, 'unknown_log' | 'unknown_key' | 'bad_proof' | 'bad_request'> = { 400: 'bad_request', 403: 'unknown_key', 404: 'unknown_log', 422: 'bad_proof' }

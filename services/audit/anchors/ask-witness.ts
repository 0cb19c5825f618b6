import { type Checkpoint, parseCheckpoint } from '../tlog/checkpoint.ts'
import { MalformedError } from '../tlog/malformed.ts'
import { type NoteSignature, type NoteVerifier, parseNote, UnverifiedError } from '../tlog/note.ts'
import { proveConsistency, type ReadTile, rootFromTiles } from '../tlog/proofs.ts'
import { verifyConsistency } from '../tlog/verify-proofs.ts'
import { addCheckpointPath, formatAddCheckpoint, readAnswer, type WitnessAnswer } from '../tlog/witness.ts'
import { AnchorError } from './anchor.ts'
import type { HttpServer } from './http-call.ts'

/** One witness: what it has cosigned last is remembered, and asked of it when that is not known. */
export interface Witness {
  readonly name: string
  /**
   * Its cosignature of a checkpoint of ours. Throws WitnessAlarmError when it has seen another log than ours, AnchorError for all that may
   * go better later.
   */
  cosign(checkpoint: string, signal: AbortSignal): Promise<NoteSignature[]>
  close(): void
}

/** The witness has cosigned a tree that this log does not go on from, or this log's own tiles do not fit together. */
export class WitnessAlarmError extends Error {
  override readonly name = 'WitnessAlarmError'
  readonly kind: 'other_log' | 'log_behind' | 'log_damaged'

  constructor(kind: WitnessAlarmError['kind'], message: string) {
    super(message)
    this.kind = kind
  }
}

export interface WitnessOptions {
  name: string
  /** Its keys; one. */
  keys: readonly NoteVerifier[]
  server: HttpServer
  /** Path of the submission prefix, without a slash at its end. */
  prefix: string
  readTile: ReadTile
}

/** More than a size that we did not know, and one that changed meanwhile. */
const maxTries = 3

const refusals = {
  unknown_log: 'It does not know this log: give its operator the origin and the public key.',
  unknown_key: 'It knows this log by another key: give its operator the public key.',
  bad_request: 'It did not understand the request.',
  bad_proof: '',
  other: 'It answered with a status that witnesses do not have.',
} as const

export function createWitness({ name, keys, server, prefix, readTile }: WitnessOptions): Witness {
  /** Of the checkpoint that it cosigned last, as far as we know. */
  let known = 0

  async function cosign(note: string, signal: AbortSignal): Promise<NoteSignature[]> {
    const checkpoint = parseCheckpoint(parseNote(note).text)
    for (let tries = 0; tries < maxTries; tries++) {
      // Another process of this log may have asked, of a newer one: known then is not what we asked for.
      const oldSize = Math.min(known, checkpoint.size)
      const answer = await ask(oldSize, checkpoint, note, signal)
      if (answer.kind === 'cosigned') {
        known = checkpoint.size
        return answer.signatures
      }
      if (answer.kind === 'fork') throw new WitnessAlarmError('other_log', `It has cosigned another tree of ${oldSize} records than this log has.`)
      if (answer.kind === 'refused') {
        // The proof fits our own tree at both ends, so its tree is another one.
        if (answer.reason === 'bad_proof') throw new WitnessAlarmError('other_log', `The ${oldSize} records that it has cosigned are not those that this log begins with.`)
        throw new AnchorError(`${refusals[answer.reason]} (status ${answer.status})`)
      }
      if (answer.size > checkpoint.size) throw new WitnessAlarmError('log_behind', `It has cosigned a log of ${answer.size} records, and this one was signed at ${checkpoint.size}: the log was set back, or somebody else signs with its key.`)
      known = answer.size
    }
    throw new AnchorError(`Its size changed ${maxTries} times while it was asked: somebody else asks for the same log.`)
  }

  async function ask(oldSize: number, checkpoint: Checkpoint, note: string, signal: AbortSignal): Promise<WitnessAnswer> {
    const request = { oldSize, proof: await proveOwn(oldSize, checkpoint), checkpoint: note }
    const response = await server.call({ method: 'POST', path: `${prefix}/${addCheckpointPath}`, headers: { 'content-type': 'text/plain; charset=utf-8' }, body: formatAddCheckpoint(request) }, signal)
    try {
      return readAnswer({ status: response.status, contentType: response.headers['content-type'], body: response.body }, request, keys)
    } catch (thrown) {
      if (thrown instanceof MalformedError || thrown instanceof UnverifiedError) throw new AnchorError(`Its answer is not one: ${thrown.message}.`, { cause: thrown })
      throw thrown
    }
  }

  /** Checked before it is sent, so that a witness who does not take it is one who knows another log. */
  async function proveOwn(oldSize: number, checkpoint: Checkpoint): Promise<Buffer[]> {
    if (oldSize === 0) return []
    const proof = await proveConsistency(oldSize, checkpoint.size, readTile)
    const from = { size: oldSize, root: await rootFromTiles(oldSize, readTile) }
    if (!verifyConsistency({ from, to: checkpoint, proof })) throw new WitnessAlarmError('log_damaged', `The tiles of the log are not those of the ${checkpoint.size} records that were signed.`)
    return proof
  }

  return { name, cosign, close: () => server.close() }
}

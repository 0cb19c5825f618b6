import { type CheckpointKeys, openCheckpoint, type OpenedCheckpoint } from './checkpoint.ts'
import { MalformedError } from './malformed.ts'
import { hashBytes, leafHash } from './merkle.ts'
import { maxNoteLength, parseNote, UnverifiedError } from './note.ts'
import { readBase64, readDecimal } from './strict-text.ts'
import { verifyInclusion } from './verify-proofs.ts'

/** What shows, offline, that an entry is in a log: c2sp.org/tlog-proof. */
export interface TlogProof {
  index: number
  /** The leaf's sibling first. */
  proof: readonly Uint8Array[]
  /** A signed note. */
  checkpoint: string
  /** Whatever goes with it. No signature covers it. */
  extra?: Uint8Array
}

const header = 'c2sp.org/tlog-proof@v1'
/** More than the highest tree of 2^53 leaves has. */
const maxHashes = 63
const maxExtraBytes = 64 * 1024
/** All of that, with room. */
const maxLength = maxNoteLength + 128 * 1024

export function formatTlogProof({ index, proof, checkpoint, extra }: TlogProof): string {
  if (extra !== undefined && extra.length > maxExtraBytes) throw new RangeError(`the extra data of a proof has at most ${maxExtraBytes} bytes`)
  const lines = [header, ...(extra === undefined ? [] : [`extra ${base64(extra)}`]), `index ${index}`, ...proof.map(base64)]
  return `${lines.join('\n')}\n\n${checkpoint}`
}

/** Throws MalformedError for anything but a proof, its checkpoint included. Says nothing of whether it is true. */
export function parseTlogProof(text: string): TlogProof {
  if (text.length > maxLength) throw new MalformedError(`a proof is longer than ${maxLength} characters`)
  const split = text.indexOf('\n\n')
  if (split < 0) throw new MalformedError('a proof has no empty line before its checkpoint')
  const [first, second = '', ...rest] = text.slice(0, split).split('\n')
  if (first !== header) throw new MalformedError(`a proof does not begin with ${header}`)
  const withExtra = second.startsWith('extra ')
  const [index = '', ...hashes] = withExtra ? rest : [second, ...rest]
  if (!index.startsWith('index ')) throw new MalformedError('a proof has no line with its index')
  if (hashes.length > maxHashes) throw new MalformedError(`a proof has more than ${maxHashes} hashes`)
  const checkpoint = text.slice(split + 2)
  parseNote(checkpoint)
  const extra = withExtra ? readBase64(second.slice('extra '.length), 'the extra data of a proof') : undefined
  if (extra !== undefined && extra.length > maxExtraBytes) throw new MalformedError(`the extra data of a proof has more than ${maxExtraBytes} bytes`)
  return {
    index: readDecimal(index.slice('index '.length), 'the index of a proof'),
    proof: hashes.map((hash) => readHash(hash)),
    checkpoint,
    ...(extra === undefined ? {} : { extra }),
  }
}

/** The checkpoint that the entry is in, at `index`. Throws MalformedError and UnverifiedError, as openCheckpoint does and when the proof does not lead there. */
export function verifyTlogProof({ index, proof, checkpoint }: TlogProof, entry: Uint8Array, keys: CheckpointKeys): OpenedCheckpoint {
  const opened = openCheckpoint(checkpoint, keys)
  if (index >= opened.size) throw new UnverifiedError('the index of a proof is beyond the size of its checkpoint')
  if (!verifyInclusion({ index, proof, size: opened.size, root: opened.root, leaf: leafHash(entry) })) throw new UnverifiedError('the proof does not lead from the entry to the root of its checkpoint')
  return opened
}

/** A line of 32 bytes in base64. */
export function readHash(line: string): Buffer {
  const hash = readBase64(line, 'a hash of a proof')
  if (hash.length !== hashBytes) throw new MalformedError(`a hash of a proof has ${hash.length} bytes, not ${hashBytes}`)
  return hash
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}

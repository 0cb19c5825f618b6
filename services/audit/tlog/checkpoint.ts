import type { TreeHead } from '../store/store.ts'
import { cosignedAt } from './cosignature.ts'
import { MalformedError } from './malformed.ts'
import { hashBytes } from './merkle.ts'
import { type NoteSigner, type NoteVerifier, parseNote, signNote, UnverifiedError, verifySignatures } from './note.ts'
import { readBase64, readDecimal } from './strict-text.ts'

/** The head of a log as a text that is signed: c2sp.org/tlog-checkpoint. */
export interface Checkpoint extends TreeHead {
  /** Which log it is. */
  origin: string
  /** Lines behind the three that are defined; ours have none. */
  extensions: readonly string[]
}

/** Throws RangeError for what no checkpoint can hold. */
export function formatCheckpoint({ origin, size, root, extensions = [] }: TreeHead & { origin: string; extensions?: readonly string[] }): string {
  if (!isLine(origin) || !extensions.every(isLine)) throw new RangeError('the origin and the extension lines of a checkpoint are lines that are not empty')
  if (!Number.isSafeInteger(size) || size < 0 || root.length !== hashBytes) throw new RangeError('a checkpoint has a size and a root of 32 bytes')
  return [origin, size, Buffer.from(root).toString('base64'), ...extensions].map((line) => `${line}\n`).join('')
}

/** Reads the text of a note. Throws MalformedError for anything but a checkpoint. */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin = '', size = '', root = '', ...more] = text.split('\n')
  if (more.pop() !== '') throw new MalformedError('a checkpoint has less than three lines, or a last one without a newline')
  if (!isLine(origin) || !more.every(isLine)) throw new MalformedError('a checkpoint has an empty line, or one with control characters')
  const hash = readBase64(root, 'the root of a checkpoint')
  if (hash.length !== hashBytes) throw new MalformedError(`the root of a checkpoint has ${hash.length} bytes, not ${hashBytes}`)
  return { origin, size: readDecimal(size, 'the size of a checkpoint'), root: hash, extensions: more }
}

export function signCheckpoint(head: TreeHead & { origin: string }, signers: readonly NoteSigner[]): string {
  return signNote(formatCheckpoint(head), signers)
}

/** Whom to believe. */
export interface CheckpointKeys {
  origin: string
  /** The log's own key; several while it changes. One of them must have signed. */
  log: readonly NoteVerifier[]
  /** Its witnesses. What they have signed is told, and must be right; how many are enough is the caller's to say. */
  witnesses?: readonly NoteVerifier[]
}

export interface OpenedCheckpoint extends Checkpoint {
  /** The text that the signatures are over. */
  text: string
  /** Each witness once; `at` in seconds since 1970. */
  cosigned: { name: string; keyId: number; at: number }[]
}

/** Throws MalformedError, and UnverifiedError when it is another log's or not signed as it must be. */
export function openCheckpoint(note: string, { origin, log, witnesses = [] }: CheckpointKeys): OpenedCheckpoint {
  const { text, signatures } = parseNote(note)
  const checkpoint = parseCheckpoint(text)
  if (checkpoint.origin !== origin) throw new UnverifiedError('the checkpoint is one of another log')
  verifySignatures(text, signatures, log)
  const theirs = signatures.filter(({ name, keyId }) => witnesses.some((witness) => witness.name === name && witness.keyId === keyId))
  const cosignatures = theirs.length === 0 ? [] : verifySignatures(text, theirs, witnesses)
  return { ...checkpoint, text, cosigned: cosignatures.map(({ name, keyId, signature }) => ({ name, keyId, at: cosignedAt(signature) ?? 0 })) }
}

function isLine(text: string): boolean {
  // eslint-disable-next-line no-control-regex
  return text !== '' && text.isWellFormed() && !/[\u0000-\u001F]/.test(text)
}

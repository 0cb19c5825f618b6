import { sign, verify } from 'node:crypto'
import { MalformedError } from './malformed.ts'
import { isKeyName, readSkey, readVkey } from './note-key.ts'
import { readBase64 } from './strict-text.ts'

/**
 * Signed notes (c2sp.org/signed-note): a text that ends in a newline, an empty line, and a line for each signature:
 * "— name base64(id of the key, signature)".
 */
export interface Note {
  /** What is signed, its last newline included. */
  text: string
  signatures: NoteSignature[]
}

export interface NoteSignature {
  name: string
  keyId: number
  signature: Buffer
}

/** Checks the signatures of one key. */
export interface NoteVerifier {
  name: string
  keyId: number
  verify(text: string, signature: Uint8Array): boolean
}

export interface NoteSigner {
  name: string
  keyId: number
  sign(text: string): Buffer
}

/** It is well-formed, but the keys that are trusted do not vouch for it. The message says why. */
export class UnverifiedError extends Error {}

/** Room for the 16 signatures that every reader must take, of 5 kB each, as post-quantum ones may have. */
export const maxNoteLength = 256 * 1024
const maxSignatures = 100

/** Throws MalformedError for anything but a note. Says nothing of whether it is true. */
export function parseNote(note: string): Note {
  if (note.length > maxNoteLength) throw new MalformedError(`a note is longer than ${maxNoteLength} characters`)
  // eslint-disable-next-line no-control-regex
  if (!note.isWellFormed() || /[\u0000-\u0009\u000B-\u001F]/.test(note)) throw new MalformedError('a note holds control characters')
  const split = note.lastIndexOf('\n\n')
  if (split < 0) throw new MalformedError('a note has no empty line before its signatures')
  return { text: note.slice(0, split + 1), signatures: parseSignatures(note.slice(split + 2)) }
}

/** The lines of signatures, at least one. Throws MalformedError for anything else. */
export function parseSignatures(lines: string): NoteSignature[] {
  if (!lines.endsWith('\n')) throw new MalformedError('the last signature does not end in a newline')
  const all = lines.slice(0, -1).split('\n')
  if (all.length > maxSignatures) throw new MalformedError(`a note has more than ${maxSignatures} signatures`)
  return all.map((line) => {
    const [dash, name = '', base64 = '', ...more] = line.split(' ')
    if (dash !== '—' || !isKeyName(name) || more.length > 0) throw new MalformedError('a signature is not a dash, the name of a key and base64')
    const bytes = readBase64(base64, 'a signature')
    if (bytes.length < 5) throw new MalformedError('a signature has no more than the id of its key')
    return { name, keyId: bytes.readUInt32BE(0), signature: bytes.subarray(4) }
  })
}

export function formatSignature({ name, keyId, signature }: NoteSignature): string {
  const id = Buffer.alloc(4)
  id.writeUInt32BE(keyId)
  return `— ${name} ${Buffer.concat([id, signature]).toString('base64')}\n`
}

export function formatNote({ text, signatures }: Note): string {
  return `${text}\n${signatures.map(formatSignature).join('')}`
}

/** Throws RangeError for a text that no note can have. */
export function signNote(text: string, signers: readonly NoteSigner[]): string {
  const note = formatNote({ text, signatures: signers.map((signer) => signatureBy(signer, text)) })
  if (!isNoteOf(note, text)) throw new RangeError('a text to be signed ends in one newline and holds no control characters, and needs a signer')
  return note
}

export function signatureBy(signer: NoteSigner, text: string): NoteSignature {
  return { name: signer.name, keyId: signer.keyId, signature: signer.sign(text) }
}

/**
 * The note with the signatures of known keys alone. Throws MalformedError, and UnverifiedError when a known key's signature is wrong or
 * there is none.
 */
export function openNote(note: string, verifiers: readonly NoteVerifier[]): Note {
  const { text, signatures } = parseNote(note)
  return { text, signatures: verifySignatures(text, signatures, verifiers) }
}

/** The signatures of known keys, at least one and each key's once; throws UnverifiedError like openNote. */
export function verifySignatures(text: string, signatures: readonly NoteSignature[], verifiers: readonly NoteVerifier[]): NoteSignature[] {
  const verified = new Map<NoteVerifier, NoteSignature>()
  for (const signature of signatures) {
    const verifier = verifiers.find(({ name, keyId }) => name === signature.name && keyId === signature.keyId)
    if (verifier === undefined) continue
    if (!verifier.verify(text, signature.signature)) throw new UnverifiedError(`the signature by ${verifier.name} is wrong`)
    if (!verified.has(verifier)) verified.set(verifier, signature)
  }
  if (verified.size === 0) throw new UnverifiedError('none of the keys that are trusted has signed this')
  return [...verified.values()]
}

/** Of a vkey of type 1; throws MalformedError. */
export function ed25519Verifier(vkey: string): NoteVerifier {
  const { name, id, key } = readVkey(vkey, 'ed25519')
  return { name, keyId: id, verify: (text, signature) => verify(null, Buffer.from(text), key, signature) }
}

/** Of an skey of type 1; throws MalformedError. */
export function ed25519Signer(skey: string): NoteSigner {
  const { name, id, secret } = readSkey(skey, 'ed25519')
  return { name, keyId: id, sign: (text) => sign(null, Buffer.from(text), secret) }
}

function isNoteOf(note: string, text: string): boolean {
  try {
    return parseNote(note).text === text
  } catch (error) {
    if (error instanceof MalformedError) return false
    throw error
  }
}

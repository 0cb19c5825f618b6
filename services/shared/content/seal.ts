import { createCipheriv, createDecipheriv, createHmac, type Hmac, randomBytes } from 'node:crypto'
import type { SealedPiece } from '../../../proto/gen/intramuros/v1/content.ts'
import { ContentError } from './content-error.ts'
import type { TeamKey } from './team-key.ts'

/** Largest plaintext of a piece. */
export const pieceBytes = 64 * 1024
/** What a piece adds to its plaintext. */
export const sealBytes = 28

const nonceBytes = 12
const tagBytes = 16

/** Encrypts a team's content of one day. */
export interface DataKey {
  teamId: string
  keyId: string
  /** "2026-11-23", UTC. */
  day: string
  key: Buffer
  /** The key under the team's key. */
  wrapped: Buffer
}

/** Where a piece belongs: all of it is bound to the ciphertext, so that no piece can take another's place. */
export type PiecePlace = Pick<SealedPiece, 'requestId' | 'part' | 'sequence' | 'final'>

export function newDataKey(teamKey: TeamKey, { teamId, day }: Pick<DataKey, 'teamId' | 'day'>): DataKey {
  const key = randomBytes(32)
  return { teamId, keyId: teamKey.id, day, key, wrapped: encrypt(teamKey.bytes, key, dataKeyContext({ teamId, keyId: teamKey.id, day })) }
}

/** The data key of a piece. Throws ContentError when it was not made under this team's key for this team and day. */
export function openDataKey(teamKey: TeamKey, { teamId, day, wrappedKey }: Pick<SealedPiece, 'teamId' | 'day' | 'wrappedKey'>): Buffer {
  const key = decrypt(teamKey.bytes, wrappedKey, dataKeyContext({ teamId, keyId: teamKey.id, day }))
  if (key === undefined) throw new ContentError(`The data key of ${day} is not one that was made under ${teamKey.id} for this team and day.`)
  return key
}

/** `plaintext` has at most pieceBytes. */
export function sealPiece(dataKey: DataKey, place: PiecePlace, plaintext: Uint8Array): SealedPiece {
  const { teamId, keyId, day, key, wrapped } = dataKey
  const head = { teamId, ...place, keyId, day }
  return { ...head, wrappedKey: wrapped, sealed: encrypt(key, plaintext, pieceContext(head)) }
}

/** The plaintext; undefined when the piece is not, in each field, what was sealed. */
export function openPiece(dataKey: Uint8Array, piece: SealedPiece): Buffer | undefined {
  return decrypt(dataKey, piece.sealed, pieceContext(piece))
}

/**
 * HMAC of a part's plaintext under a key that is made of the team's: it tells whether content is what the ledger's record is of, and
 * nothing to whoever has not the key, not even that two requests were alike.
 */
export function fingerprintOf(teamKey: TeamKey, { teamId, requestId, part }: Pick<SealedPiece, 'teamId' | 'requestId' | 'part'>): Hmac {
  const key = createHmac('sha256', teamKey.bytes).update('intramuros content fingerprint 1').digest()
  return createHmac('sha256', key).update(`${JSON.stringify([teamId, requestId, part])}\n`)
}

function dataKeyContext({ teamId, keyId, day }: Pick<DataKey, 'teamId' | 'keyId' | 'day'>): string {
  return JSON.stringify(['intramuros content data key 1', teamId, keyId, day])
}

function pieceContext({ teamId, requestId, part, sequence, final, keyId, day }: Omit<SealedPiece, 'wrappedKey' | 'sealed'>): string {
  return JSON.stringify(['intramuros content piece 1', teamId, requestId, part, sequence, final, keyId, day])
}

/**
 * Nonces are random. NIST SP 800-38D allows 2^32 of them for a key: a team's key encrypts one data key a day and gateway, and a data key is
 * given up long before that (see data-keys.ts of the gateway).
 */
function encrypt(key: Uint8Array, plaintext: Uint8Array, context: string): Buffer {
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  cipher.setAAD(Buffer.from(context))
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

function decrypt(key: Uint8Array, sealed: Uint8Array, context: string): Buffer | undefined {
  if (sealed.length < nonceBytes + tagBytes) return undefined
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, nonceBytes), { authTagLength: tagBytes })
  decipher.setAAD(Buffer.from(context))
  decipher.setAuthTag(sealed.subarray(-tagBytes))
  const plaintext = decipher.update(sealed.subarray(nonceBytes, -tagBytes))
  try {
    return Buffer.concat([plaintext, decipher.final()])
  } catch {
    return undefined
  }
}

import { createPrivateKey, createPublicKey, generateKeyPairSync, hash, type KeyObject } from 'node:crypto'
import { MalformedError } from './malformed.ts'
import { readBase64 } from './strict-text.ts'

/**
 * Keys of signed notes (c2sp.org/signed-note) in the texts that Go's tools have for them: "name+id+base64" is the public one (vkey),
 * "PRIVATE+KEY+name+id+base64" the secret one (skey). The base64 is the type of signature in one byte, then the public key or the seed.
 */
export type SignatureType = keyof typeof signatureTypes

const signatureTypes = { ed25519: 0x01, cosignature: 0x04 }
const keyBytes = 32
/** Both texts are far shorter; a name is a host and a path. */
const maxKeyLength = 1024

export interface PublicNoteKey {
  name: string
  type: SignatureType
  /** The first 4 bytes of the SHA-256 of name, type and key. */
  id: number
  key: KeyObject
}

export interface SecretNoteKey extends PublicNoteKey {
  secret: KeyObject
}

/** A new Ed25519 key. Throws RangeError for a name that no note can have. */
export function makeNoteKey(name: string, type: SignatureType = 'ed25519'): { skey: string; vkey: string } {
  if (!isKeyName(name)) throw new RangeError('the name of a key has no spaces, no + and no control characters, and is not empty')
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const id = idInHex(name, type, publicKey)
  const body = Buffer.concat([Buffer.of(signatureTypes[type]), privateKey.export({ format: 'raw-private' })])
  return { skey: `PRIVATE+KEY+${name}+${id}+${body.toString('base64')}`, vkey: formatVkey({ name, type, key: publicKey }) }
}

export function formatVkey({ name, type, key }: Pick<PublicNoteKey, 'name' | 'type' | 'key'>): string {
  const body = Buffer.concat([Buffer.of(signatureTypes[type]), key.export({ format: 'raw-public' })])
  return `${name}+${idInHex(name, type, key)}+${body.toString('base64')}`
}

/** Throws MalformedError for anything but a vkey of an Ed25519 key of that type. */
export function readVkey(vkey: string, type: SignatureType): PublicNoteKey {
  const [name = '', id = '', ...body] = vkey.length > maxKeyLength ? [] : vkey.split('+')
  const raw = readKeyBody({ name, body: body.join('+'), what: 'a public key of notes' }, type)
  return checkId({ name, type, id, key: createPublicKey({ key: raw, format: 'raw-public', asymmetricKeyType: 'ed25519' }) })
}

/** Throws MalformedError, which holds nothing of the key, for anything but an skey of an Ed25519 key of that type. */
export function readSkey(skey: string, type: SignatureType): SecretNoteKey {
  const [first, second, name = '', id = '', ...body] = skey.length > maxKeyLength ? [] : skey.split('+')
  if (first !== 'PRIVATE' || second !== 'KEY') throw new MalformedError('a secret key of notes begins with PRIVATE+KEY+')
  const seed = readKeyBody({ name, body: body.join('+'), what: 'a secret key of notes' }, type)
  const secret = createPrivateKey({ key: seed, format: 'raw-private', asymmetricKeyType: 'ed25519' })
  return { ...checkId({ name, type, id, key: createPublicKey(secret) }), secret }
}

/** What notes take as the name of a key, and checkpoints as an origin that is one. */
export function isKeyName(name: string): boolean {
  // eslint-disable-next-line no-control-regex
  return name !== '' && name.length <= 512 && name.isWellFormed() && !/[\p{White_Space}+\u0000-\u001F]/u.test(name)
}

function readKeyBody({ name, body, what }: { name: string; body: string; what: string }, type: SignatureType): Buffer {
  if (!isKeyName(name)) throw new MalformedError(`${what} has no name that notes take`)
  const bytes = readBase64(body, what)
  if (bytes[0] !== signatureTypes[type]) throw new MalformedError(`${what} is not of type ${signatureTypes[type]} (${type})`)
  if (bytes.length !== 1 + keyBytes) throw new MalformedError(`${what} has ${bytes.length - 1} bytes, not ${keyBytes}`)
  return bytes.subarray(1)
}

function checkId({ name, type, id, key }: { name: string; type: SignatureType; id: string; key: KeyObject }): PublicNoteKey {
  const wanted = idInHex(name, type, key)
  if (id !== wanted) throw new MalformedError(`the key ${name} has not the id that its text says`)
  return { name, type, id: Number.parseInt(wanted, 16), key }
}

function idInHex(name: string, type: SignatureType, key: KeyObject): string {
  const named = Buffer.concat([Buffer.from(`${name}\n`), Buffer.of(signatureTypes[type]), key.export({ format: 'raw-public' })])
  return hash('sha256', named, 'hex').slice(0, 8)
}

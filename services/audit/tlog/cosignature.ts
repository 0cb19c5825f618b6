import { sign, verify } from 'node:crypto'
import { type NoteSigner, type NoteVerifier } from './note.ts'
import { readSkey, readVkey } from './note-key.ts'

/**
 * Cosignatures of checkpoints (c2sp.org/tlog-cosignature, the Ed25519 kind): by these a witness says that at some second the tree was the
 * largest that it had seen of a log, and that it goes on from all it saw before. 8 bytes of time, then 64 of Ed25519.
 */
const timeBytes = 8
const signatureBytes = 64

/** Of a vkey of type 4; throws MalformedError. */
export function cosignatureVerifier(vkey: string): NoteVerifier {
  const { name, id, key } = readVkey(vkey, 'cosignature')
  return {
    name,
    keyId: id,
    verify: (text, signature) => {
      const time = cosignedAt(signature)
      return time !== undefined && verify(null, Buffer.from(message(text, time)), key, signature.subarray(timeBytes))
    },
  }
}

/** Of an skey of type 4; throws MalformedError. `now` is in seconds since 1970. */
export function cosignatureSigner(skey: string, now: () => number): NoteSigner {
  const { name, id, secret } = readSkey(skey, 'cosignature')
  return {
    name,
    keyId: id,
    sign: (text) => {
      const time = Math.floor(now())
      const stamp = Buffer.alloc(timeBytes)
      stamp.writeBigUInt64BE(BigInt(time))
      return Buffer.concat([stamp, sign(null, Buffer.from(message(text, time)), secret)])
    },
  }
}

/** When a cosignature was made, in seconds since 1970; undefined for bytes that are none. To be believed once it is verified. */
export function cosignedAt(signature: Uint8Array): number | undefined {
  if (signature.length !== timeBytes + signatureBytes) return undefined
  const time = Number(Buffer.from(signature.buffer, signature.byteOffset, timeBytes).readBigUInt64BE())
  return Number.isSafeInteger(time) ? time : undefined
}

function message(text: string, time: number): string {
  return `cosignature/v1\ntime ${time}\n${text}`
}

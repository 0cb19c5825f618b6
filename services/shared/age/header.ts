import { Decrypter, Encrypter } from 'age-encryption'
import { AgeError } from './age-error.ts'
import { nonceBytes, tagBytes } from './payload.ts'

export interface NewHeader {
  /** As it stands at the beginning of the file. */
  header: Buffer
  /** 16 secret bytes, for payloadKey(). */
  fileKey: Uint8Array
}

/**
 * A header that each of the recipients can open. The library makes it. It tells nobody the file key but its recipients, so that
 * one of ours listens in, which adds nothing to the header. Throws AgeError for a recipient that is none.
 */
export async function makeHeader(recipients: readonly string[]): Promise<NewHeader> {
  const encrypter = new Encrypter()
  for (const [index, recipient] of recipients.entries()) {
    try {
      encrypter.addRecipient(recipient)
    } catch (thrown) {
      throw new AgeError('bad_recipient', `recipient ${index + 1} is no age recipient (age1…)`, withoutMessage(thrown))
    }
  }
  let fileKey: Uint8Array | undefined
  encrypter.addRecipient({
    wrapFileKey: (key) => {
      fileKey = Uint8Array.from(key)
      return []
    },
  })
  const whole = await encrypter.encrypt(new Uint8Array())
  if (fileKey === undefined) throw new Error('age-encryption made a header without asking its recipients')
  // What follows the header is the payload of an empty file, under a nonce of its own.
  return { header: Buffer.from(whole.subarray(0, whole.length - nonceBytes - tagBytes)), fileKey }
}

/** File key of a whole header. Throws AgeError when none of the identities opens it, or it is not sound. */
export async function openHeader(header: Uint8Array, identities: readonly string[]): Promise<Uint8Array> {
  const decrypter = new Decrypter()
  for (const identity of identities) addIdentity(decrypter, identity)
  let fileKey: Uint8Array
  try {
    fileKey = await decrypter.decryptHeader(header)
  } catch (thrown) {
    // Its one message that says more than that the header is broken.
    if (thrown instanceof Error && thrown.message.startsWith('no identity matched')) throw noMatch(header)
    throw new AgeError('bad_header', 'its header is damaged', withoutMessage(thrown))
  }
  // The specification says 16 bytes, which the library does not check.
  if (fileKey.length !== 16) throw new AgeError('bad_header', 'its header is damaged')
  return fileKey
}

function addIdentity(decrypter: Decrypter, identity: string): void {
  try {
    decrypter.addIdentity(identity)
  } catch {
    // The library's own message might quote it.
    throw new AgeError('bad_identity', 'the key is no age identity (AGE-SECRET-KEY-1…)')
  }
}

function noMatch(header: Uint8Array): AgeError {
  const passphrase = Buffer.from(header).includes('\n-> scrypt ')
  const message = passphrase ? 'it is encrypted with a passphrase, not for a key' : 'it is encrypted for another key than the one given'
  return new AgeError('no_matching_key', message)
}

function withoutMessage(thrown: unknown): unknown {
  return thrown instanceof Error ? Object.assign(new Error('age-encryption refused it'), { name: thrown.name }) : undefined
}

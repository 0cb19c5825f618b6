import { Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption'
import { AgeError } from './age-error.ts'

export interface KeyPair {
  /** AGE-SECRET-KEY-1…: the secret. */
  identity: string
  /** age1…: public. */
  recipient: string
}

export async function newKeyPair(): Promise<KeyPair> {
  const identity = await generateX25519Identity()
  return { identity, recipient: await identityToRecipient(identity) }
}

/** The public key (age1…) of a secret one that readIdentities() gave. */
export async function recipientOf(identity: string): Promise<string> {
  return await identityToRecipient(identity)
}

/** Text of a key's file, as age-keygen writes it. */
export function keyFileText({ identity, recipient }: KeyPair, created: Date): string {
  return `# created: ${created.toISOString()}\n# public key: ${recipient}\n${identity}\n`
}

/**
 * The identities in a key's text: one a line, with empty lines and lines of comment (#) between. Throws AgeError that quotes
 * nothing of it.
 */
export async function readIdentities(text: string): Promise<string[]> {
  const identities = linesOf(text)
  if (identities.length === 0) throw new AgeError('bad_identity', 'it holds no age identity (AGE-SECRET-KEY-1…)')
  for (const identity of identities) {
    try {
      new Decrypter().addIdentity(identity)
      await identityToRecipient(identity)
    } catch {
      throw new AgeError('bad_identity', 'it holds a line that is no age identity (AGE-SECRET-KEY-1…)')
    }
  }
  return identities
}

/** The recipients (age1…) in a text of the same shape. Throws AgeError. */
export function readRecipients(text: string): string[] {
  const recipients = linesOf(text)
  if (recipients.length === 0) throw new AgeError('bad_recipient', 'it holds no age recipient (age1…)')
  for (const recipient of recipients) {
    try {
      new Encrypter().addRecipient(recipient)
    } catch {
      const secret = recipient.startsWith('AGE-SECRET-KEY-')
      const what = secret ? 'a secret key: give its public one (age1…)' : 'a line that is no age recipient (age1…)'
      throw new AgeError('bad_recipient', `it holds ${what}`)
    }
  }
  return recipients
}

function linesOf(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
}

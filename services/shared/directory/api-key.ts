import { randomBytes, randomInt } from 'node:crypto'
import { crc32 } from 'node:zlib'

/**
 * An API key is `sk-im-`, 43 base62 digits that hold 256 random bits, and 6 base62 digits of the CRC-32 of all that stands before
 * them: 55 characters. The checksum tells a typo or a cut-off key from an unknown one without looking anything up, and lets a
 * scanner that finds such a text in a repository be sure of it.
 */
export const secretPrefix = 'sk-im-'

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const randomDigits = 43
const checksumDigits = 6
const wellFormed = new RegExp(`^${secretPrefix}[0-9A-Za-z]{${randomDigits + checksumDigits}}$`)

export function newSecret(): string {
  return secretOf(randomBytes(32))
}

/** The key that holds these 256 bits. */
export function secretOf(bits: Uint8Array): string {
  const number = BigInt(`0x${Buffer.from(bits).toString('hex')}`)
  const body = secretPrefix + base62(number, randomDigits)
  return body + checksum(body)
}

/** Whether a text has a key's form and its checksum is right. Says nothing about whether the key exists. */
export function isSecret(text: string): boolean {
  return wellFormed.test(text) && text.endsWith(checksum(text.slice(0, -checksumDigits)))
}

/** A key's public id: `key_` and ten base62 digits, drawn at random and unrelated to the secret. Safe to log. */
export function newKeyId(): string {
  return `key_${Array.from({ length: 10 }, () => alphabet[randomInt(alphabet.length)]).join('')}`
}

function checksum(text: string): string {
  return base62(BigInt(crc32(text)), checksumDigits)
}

function base62(number: bigint, digits: number): string {
  let text = ''
  for (let rest = number; text.length < digits; rest /= 62n) text = (alphabet[Number(rest % 62n)] ?? '') + text
  return text
}

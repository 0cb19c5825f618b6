import { MalformedError } from './malformed.ts'

/** Bytes as UTF-8 text. Throws MalformedError, which names `what` they are, for any that are not. */
export function readUtf8(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new MalformedError(`${what} is not UTF-8`)
  }
}

/** The bytes of RFC 4648 base64, padded, in its only spelling; else throws MalformedError. */
export function readBase64(text: string, what: string): Buffer {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) throw new MalformedError(`${what} is not base64`)
  return bytes
}

/** A whole number below 2^53 without needless zeros; else throws MalformedError. */
export function readDecimal(text: string, what: string): number {
  const number = Number(text)
  if (!/^(0|[1-9][0-9]*)$/.test(text) || !Number.isSafeInteger(number)) throw new MalformedError(`${what} is not a decimal number below 2^53`)
  return number
}

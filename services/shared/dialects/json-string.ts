/** Undoes the escapes of a JSON string that comes in pieces. */
export interface StringDecoder {
  /** `text`: of the string's JSON text, quotation marks included; checked by a scanner already. */
  decode(text: string): string
}

const short: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }

export function createStringDecoder(): StringDecoder {
  /** An escape whose end is to come. */
  let begun = ''
  /** The first half of a character that was escaped as two. */
  let half = ''
  return {
    decode(text) {
      let decoded = half
      half = ''
      const all = begun + text
      begun = ''
      let at = 0
      while (at < all.length) {
        const char = all.charAt(at)
        if (char === '"') at++
        else if (char === '\\') {
          const next = all.charAt(at + 1)
          const length = next === 'u' ? 6 : 2
          if (at + length > all.length) {
            begun = all.slice(at)
            break
          }
          decoded += next === 'u' ? String.fromCharCode(Number.parseInt(all.slice(at + 2, at + 6), 16)) : (short[next] ?? next)
          at += length
        } else {
          const to = endOfPlain(all, at)
          decoded += all.slice(at, to)
          at = to
        }
      }
      if (isFirstHalf(decoded.charCodeAt(decoded.length - 1))) {
        half = decoded.slice(-1)
        return decoded.slice(0, -1)
      }
      return decoded
    },
  }
}

function endOfPlain(text: string, from: number): number {
  let at = from
  while (at < text.length && text[at] !== '\\' && text[at] !== '"') at++
  return at
}

function isFirstHalf(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff
}

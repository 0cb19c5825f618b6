import { createHash } from 'node:crypto'
import { inflateSync } from 'node:zlib'
import * as vectors from 'cctv-age'
import { expect, test } from 'vitest'
import { AgeError } from './age-error.ts'
import { openAge } from './file.ts'
import type { ReadableFile } from './layout.ts'

/** The test vectors of the format's authors (C2SP CCTV). Armor and passphrases are not for model files: those are refused too. */
interface Vector {
  expect: string
  payload: string
  identities: string[]
  ours: boolean
  file: Buffer
}

function parse(bytes: Buffer): Vector {
  const end = bytes.indexOf('\n\n')
  const fields = String(bytes.subarray(0, end)).split('\n').map((line): [string, string] => [line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2)])
  const of = (name: string): string[] => fields.flatMap(([key, value]) => (key === name ? [value] : []))
  const file = bytes.subarray(end + 2)
  return {
    expect: of('expect')[0] ?? '',
    payload: of('payload')[0] ?? '',
    identities: of('identity'),
    ours: of('armored').length === 0 && of('passphrase').length === 0,
    file: of('compressed')[0] === 'zlib' ? inflateSync(file) : file,
  }
}

function inMemory(content: Buffer): ReadableFile {
  return {
    stat: async () => await Promise.resolve({ size: content.length }),
    read: async (buffer, offset, length, position) => await Promise.resolve({ bytesRead: content.copy(buffer, offset, position, position + length) }),
  }
}

const cases = Object.entries(vectors).map(([name, bytes]): [string, Vector] => [name, parse(Buffer.from(bytes))])

test('the vectors are there', () => {
  expect(cases.length).toBeGreaterThan(100)
  expect(cases.filter(([, vector]) => vector.expect === 'success' && vector.ours).length).toBeGreaterThan(10)
})

test.each(cases)('%s', async (_, { expect: outcome, payload, identities, ours, file }) => {
  const hash = createHash('sha256')
  let failure: unknown
  try {
    const { content } = await openAge(inMemory(file), identities)
    for await (const piece of content(new AbortController().signal)) hash.update(piece)
  } catch (thrown) {
    failure = thrown
  }
  if (outcome === 'success' && ours) {
    expect(failure).toBeUndefined()
    expect(hash.digest('hex')).toBe(payload)
  } else {
    expect(failure).toBeInstanceOf(AgeError)
    const reason = failure instanceof AgeError ? failure.reason : ''
    const allowed: Record<string, string[]> = {
      'no match': ['no_matching_key'],
      'payload failure': ['damaged'],
      'header failure': ['bad_header', 'not_age'],
      'HMAC failure': ['bad_header'],
    }
    if (ours) expect(allowed[outcome]).toContain(reason)
  }
})

import { randomBytes } from 'node:crypto'
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Decrypter, Encrypter } from 'age-encryption'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AgeError } from './age-error.ts'
import { encrypted, openAge } from './file.ts'
import { keyFileText, newKeyPair, readIdentities, readRecipients, type KeyPair } from './keys.ts'
import { chunkBytes, nonceBytes, sealedChunkBytes } from './payload.ts'

const signal = new AbortController().signal
let folder = ''
let pair: KeyPair

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'intramuros-age-'))
  pair = await newKeyPair()
})
afterAll(() => rm(folder, { recursive: true }))

async function withFile<T>(bytes: Uint8Array, body: (file: Awaited<ReturnType<typeof open>>) => Promise<T>): Promise<T> {
  const path = join(folder, 'file')
  await writeFile(path, bytes)
  const file = await open(path, 'r')
  try {
    return await body(file)
  } finally {
    await file.close()
  }
}

async function all(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(pieces, (piece) => Buffer.from(piece)))
}

const encrypt = (plain: Uint8Array, recipients = [pair.recipient]): Promise<Buffer> =>
  withFile(plain, (file) => all(encrypted(file, recipients, signal)))

const decrypt = (sealed: Uint8Array, identities = [pair.identity]): Promise<Buffer> =>
  withFile(sealed, async (file) => {
    const { size, content } = await openAge(file, identities)
    const plain = await all(content(signal))
    expect(plain).toHaveLength(size)
    return plain
  })

// A megabyte is what is read at once.
const sizes = [0, 1, chunkBytes - 1, chunkBytes, chunkBytes + 1, 16 * chunkBytes, 16 * chunkBytes + 1, 33 * chunkBytes]

test.each(sizes)('%d bytes come back, and the library reads ours as we read its', async (size) => {
  const plain = randomBytes(size)
  const ours = await encrypt(plain)
  expect((await decrypt(ours)).equals(plain)).toBe(true)

  const decrypter = new Decrypter()
  decrypter.addIdentity(pair.identity)
  expect(Buffer.from(await decrypter.decrypt(ours)).equals(plain)).toBe(true)
  const encrypter = new Encrypter()
  encrypter.addRecipient(pair.recipient)
  expect((await decrypt(await encrypter.encrypt(plain))).equals(plain)).toBe(true)
})

test('each of several recipients can open it, others can not', async () => {
  const [one, two, other] = await Promise.all([newKeyPair(), newKeyPair(), newKeyPair()])
  const sealed = await encrypt(Buffer.from('weights'), [one.recipient, two.recipient])
  for (const { identity } of [one, two]) expect(String(await decrypt(sealed, [other.identity, identity]))).toBe('weights')
  await expect(decrypt(sealed, [other.identity])).rejects.toThrow('for another key')
})

test('a passphrase is told apart from a wrong key', async () => {
  const encrypter = new Encrypter()
  encrypter.setPassphrase('walls')
  encrypter.setScryptWorkFactor(2)
  await expect(decrypt(await encrypter.encrypt('weights'))).rejects.toThrow('passphrase')
})

describe('a file that is not as it was written is refused', () => {
  const size = 2 * chunkBytes + 100
  let sealed: Buffer
  let start = 0
  beforeAll(async () => {
    sealed = await encrypt(randomBytes(size))
    start = sealed.length - (size + 3 * 16) - nonceBytes
  })

  test('cut short at, before and after each border', async () => {
    const borders = [start, start + nonceBytes, start + nonceBytes + sealedChunkBytes, start + nonceBytes + 2 * sealedChunkBytes, sealed.length]
    for (const border of borders) {
      for (const length of [border - 17, border - 16, border - 1, border, border + 1, border + 16, border + 17]) {
        if (length === sealed.length) continue
        const other = length < sealed.length ? sealed.subarray(0, length) : Buffer.concat([sealed, Buffer.alloc(length - sealed.length)])
        await expect(decrypt(other), `${length} bytes`).rejects.toBeInstanceOf(AgeError)
      }
    }
  })

  test('with a bit flipped in each part: header, nonce, chunks, tags', async () => {
    const places = [...Array.from({ length: start }, (_, place) => place), start, start + nonceBytes, start + nonceBytes + chunkBytes, sealed.length - 17, sealed.length - 1]
    for (const place of places) {
      const flipped = Buffer.from(sealed)
      flipped.writeUInt8(flipped.readUInt8(place) ^ 4, place)
      await expect(decrypt(flipped), `byte ${place}`).rejects.toBeInstanceOf(AgeError)
    }
  })

  test('with chunks in another order, or one of them twice', async () => {
    const first = start + nonceBytes
    const [head, one, two, rest] = [0, first, first + sealedChunkBytes, first + 2 * sealedChunkBytes].map((from, index, froms) => sealed.subarray(from, froms[index + 1]))
    for (const parts of [[head, two, one, rest], [head, one, one, rest], [head, one, rest], [head, one, two, two, rest]]) {
      await expect(decrypt(Buffer.concat(parts.map((part) => part ?? Buffer.alloc(0))))).rejects.toMatchObject({ reason: 'damaged' })
    }
  })

  test('what is no age file at all', async () => {
    await expect(decrypt(Buffer.from('GGUF'))).rejects.toMatchObject({ reason: 'not_age' })
    await expect(decrypt(Buffer.alloc(0))).rejects.toMatchObject({ reason: 'not_age' })
    await expect(decrypt(Buffer.concat([sealed.subarray(0, 30), Buffer.alloc(3 << 20, 'A')]))).rejects.toMatchObject({ reason: 'bad_header' })
  })
})

test('an aborted reader stops', async () => {
  const sealed = await encrypt(randomBytes(100))
  await withFile(sealed, async (file) => {
    const { content } = await openAge(file, [pair.identity])
    await expect(all(content(AbortSignal.abort(new Error('enough'))))).rejects.toThrow('enough')
  })
})

test('texts of keys: comments and empty lines are fine, and errors quote nothing', async () => {
  expect(await readIdentities(keyFileText(pair, new Date(0)))).toEqual([pair.identity])
  expect(readRecipients(`# bank\n\n${pair.recipient}\r\n`)).toEqual([pair.recipient])
  for (const text of ['', '# nothing\n', `${pair.identity}x`, pair.identity.slice(0, -1), pair.recipient, 'hunter2']) {
    const failure: unknown = await readIdentities(text).catch((thrown: unknown) => thrown)
    expect(failure).toMatchObject({ name: 'AgeError', reason: 'bad_identity' })
    if (text.length > 3) expect(String(failure)).not.toContain(text.slice(20) || text)
  }
  for (const text of ['', pair.identity, 'age1x', `${pair.recipient}q`]) expect(() => readRecipients(text)).toThrow(AgeError)
  expect(() => readRecipients(pair.identity)).toThrow('secret key')
  await expect(encrypt(Buffer.alloc(1), ['age1nothing'])).rejects.toMatchObject({ reason: 'bad_recipient' })
})

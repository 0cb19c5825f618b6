import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MalformedError } from './malformed.ts'
import { ed25519Signer, ed25519Verifier, formatNote, maxNoteLength, openNote, parseNote, signNote, UnverifiedError } from './note.ts'
import { makeNoteKey, readSkey, readVkey } from './note-key.ts'
import { readUtf8 } from './strict-text.ts'

// The first test vector of RFC 8032, section 7.1.
const seed = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex')
const publicKey = Buffer.from('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a', 'hex')
const id = createHash('sha256').update('example.com/log\n').update(Buffer.of(1)).update(publicKey).digest('hex').slice(0, 8)
const vkey = `example.com/log+${id}+${Buffer.concat([Buffer.of(1), publicKey]).toString('base64')}`
const skey = `PRIVATE+KEY+example.com/log+${id}+${Buffer.concat([Buffer.of(1), seed]).toString('base64')}`
const signer = ed25519Signer(skey)
const verifier = ed25519Verifier(vkey)
const other = makeNoteKey('example.com/other')

const line = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((text) => text.isWellFormed() && !/[\u0000-\u001F]/.test(text)) // eslint-disable-line no-control-regex
const text = fc.array(line, { minLength: 1, maxLength: 6 }).map((lines) => lines.map((one) => `${one}\n`).join(''))

test('a note is laid out as signed-note says, and Ed25519 is that of RFC 8032', () => {
  const signature = signer.sign('')
  expect(signature.toString('hex')).toBe('e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b')
  const note = signNote('a text\n\nof three lines\n', [signer])
  const line = Buffer.concat([Buffer.from(id, 'hex'), signer.sign('a text\n\nof three lines\n')]).toString('base64')
  expect(note).toBe(`a text\n\nof three lines\n\n— example.com/log ${line}\n`)
})

test('whatever text is signed opens with the key that signed it, and with no other', () => {
  fc.assert(
    fc.property(text, (signed) => {
      const note = signNote(signed, [signer, ed25519Signer(other.skey)])
      expect(openNote(note, [verifier]).text).toBe(signed)
      expect(openNote(note, [verifier, ed25519Verifier(other.vkey)]).signatures.map(({ name }) => name)).toEqual(['example.com/log', 'example.com/other'])
      expect(formatNote(parseNote(note))).toBe(note)
      expect(() => openNote(note, [ed25519Verifier(makeNoteKey('example.com/log').vkey)])).toThrow(UnverifiedError)
      expect(() => openNote(note, [])).toThrow('none of the keys that are trusted has signed this')
    }),
    { numRuns: 50 },
  )
})

test('no bit of a note can be another', () => {
  const note = Buffer.from(signNote('a text\nof two lines\n', [signer]))
  for (let bit = 0; bit < note.length * 8; bit++) {
    const changed = Buffer.from(note)
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    let opened: unknown
    try {
      opened = openNote(readUtf8(changed, 'a note'), [verifier])
    } catch (error) {
      expect(error instanceof MalformedError || error instanceof UnverifiedError, `bit ${bit}: ${String(error)}`).toBe(true)
    }
    expect(opened, `bit ${bit}`).toBeUndefined()
  }
})

test('a known key that has signed wrongly spoils the note, whoever else has signed', () => {
  const { signatures } = parseNote(signNote('another text\n', [ed25519Signer(other.skey)]))
  const note = formatNote({ text: 'a text\n', signatures: [...parseNote(signNote('a text\n', [signer])).signatures, ...signatures] })
  expect(openNote(note, [verifier]).signatures.length).toBe(1)
  expect(() => openNote(note, [verifier, ed25519Verifier(other.vkey)])).toThrow('the signature by example.com/other is wrong')
})

test('a key counts once, however often it has signed', () => {
  const { signatures } = parseNote(signNote('a text\n', [signer]))
  expect(openNote(formatNote({ text: 'a text\n', signatures: [...signatures, ...signatures] }), [verifier]).signatures.length).toBe(1)
})

test('says what is wrong with what is no note', () => {
  const good = signNote('a text\n', [signer])
  const signature = good.slice(good.indexOf('—'))
  for (const [note, problem] of [
    ['', 'no empty line'],
    ['a text\n', 'no empty line'],
    ['a text\n\n', 'does not end in a newline'],
    [good.slice(0, -1), 'does not end in a newline'],
    [good.replace('— ', '- '), 'not a dash'],
    [good.replace('— ', '—  '), 'not a dash'],
    [good.replace('example.com/log ', 'example.com/log  '), 'not a dash'],
    [good.replace('example.com/log', 'example+com'), 'not a dash'],
    [good.replace('example.com/log', 'a\u00A0b'), 'not a dash'],
    [good.replace('example.com/log', ''), 'not a dash'],
    [`${good}\n`, 'does not end in a newline'],
    [`${good.slice(0, -1)} \n`, 'not a dash'],
    [good.replace('\n— ', '\r\n— '), 'control characters'],
    [good.replace('a text', 'a\ttext'), 'control characters'],
    [good.replace('a text', '\uD800'), 'control characters'],
    [`a text\n\n— example.com/log ${Buffer.alloc(4).toString('base64')}\n`, 'no more than the id'],
    [`a text\n\n— example.com/log AAAA=AAA\n`, 'not base64'],
    [`a text\n\n— example.com/log AAAAAAB=\n`, 'not base64'],
    [good + signature.repeat(100), 'more than 100 signatures'],
    ['x'.repeat(maxNoteLength + 1), 'longer than'],
  ] as const) {
    expect(() => parseNote(note), JSON.stringify(note.slice(0, 60))).toThrow(MalformedError)
    expect(() => parseNote(note)).toThrow(problem)
  }
})

test('signs nothing that could not be opened again', () => {
  for (const text of ['', 'no newline', 'a control\u0007\n', '\uDC00\n']) expect(() => signNote(text, [signer]), JSON.stringify(text)).toThrow(RangeError)
  expect(() => signNote('a text\n', [])).toThrow(RangeError)
})

test('keys are written as Go has them, and read only when all of it is right', () => {
  expect(readVkey(vkey, 'ed25519')).toMatchObject({ name: 'example.com/log', type: 'ed25519', id: Number.parseInt(id, 16) })
  expect(ed25519Verifier(other.vkey).verify('a text\n', ed25519Signer(other.skey).sign('a text\n'))).toBe(true)
  const short = `example.com/log+${id}+${Buffer.concat([Buffer.of(1), publicKey.subarray(1)]).toString('base64')}`
  for (const wrong of ['', 'example.com/log', vkey.replace(id, '00000000'), vkey.replace(id, id.toUpperCase().padEnd(9)), vkey.replace('example.com', 'example.org'), vkey.slice(0, -1), `${vkey}\n`, ` ${vkey}`, short, skey, 'x'.repeat(2000)]) {
    expect(() => readVkey(wrong, 'ed25519'), wrong).toThrow(MalformedError)
  }
  expect(() => readVkey(vkey, 'cosignature')).toThrow('a public key of notes is not of type 4 (cosignature)')
  for (const wrong of ['', vkey, skey.replace(id, '00000000'), skey.replace('PRIVATE', 'private'), skey.slice(0, -4)]) {
    expect(() => readSkey(wrong, 'ed25519'), wrong).toThrow(MalformedError)
  }
  for (const name of ['', 'a b', 'a+b', 'a\nb', 'a\u2003b', '\uD800']) expect(() => makeNoteKey(name)).toThrow(RangeError)
})

test('nothing of a secret key is in what is said of it', () => {
  for (const wrong of [skey.replace(id, '00000000'), `${skey}=`, skey.replace('example.com/log', 'a b')]) {
    try {
      readSkey(wrong, 'ed25519')
      expect.unreachable()
    } catch (error) {
      expect(String(error)).not.toContain(seed.toString('base64').slice(2, 12))
      expect(String(error)).not.toContain(skey.split('+').at(-1))
    }
  }
})

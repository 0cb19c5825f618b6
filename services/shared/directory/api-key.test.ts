import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isSecret, newKeyId, newSecret, secretOf } from './api-key.ts'

const secrets = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(secretOf)
const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

test('a key has one form whatever its bits', () => {
  fc.assert(
    fc.property(secrets, (secret) => {
      expect(secret).toMatch(/^sk-im-[0-9A-Za-z]{49}$/)
      expect(isSecret(secret)).toBe(true)
    }),
  )
  expect(isSecret(secretOf(new Uint8Array(32)))).toBe(true)
  expect(isSecret(secretOf(new Uint8Array(32).fill(255)))).toBe(true)
})

test('a key holds all of its 256 bits', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bits) => {
      let number = 0n
      for (const digit of secretOf(bits).slice('sk-im-'.length, -6)) number = number * 62n + BigInt(alphabet.indexOf(digit))
      expect(number).toBe(BigInt(`0x${Buffer.from(bits).toString('hex')}`))
    }),
  )
})

test('the form does not change: keys that are out there stay valid', () => {
  const bits = Uint8Array.from({ length: 32 }, (_, index) => index)
  expect(secretOf(bits)).toBe('sk-im-003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf3b2pu9')
})

test('one wrong character, two swapped ones or a cut is a typo', () => {
  fc.assert(
    fc.property(secrets, fc.nat({ max: 48 }), fc.constantFrom(...alphabet.split('')), (secret, at, digit) => {
      const place = 'sk-im-'.length + at
      const wrong = secret.slice(0, place) + digit + secret.slice(place + 1)
      expect(isSecret(wrong)).toBe(wrong === secret)
      const swapped = secret.slice(0, place) + (secret[place + 1] ?? '') + (secret[place] ?? '') + secret.slice(place + 2)
      expect(isSecret(swapped)).toBe(swapped === secret)
      expect(isSecret(secret.slice(0, place))).toBe(false)
      expect(isSecret(`${secret}${digit}`)).toBe(false)
    }),
  )
})

test('any other text is no key', () => {
  fc.assert(fc.property(fc.string({ maxLength: 200 }), (text) => !isSecret(text)))
  const secret = newSecret()
  for (const text of [`${secret}\n`, ` ${secret}`, secret.toUpperCase(), secret.slice(3)]) expect(isSecret(text)).toBe(false)
})

test('keys and ids are all different', () => {
  expect(new Set(Array.from({ length: 1000 }, newSecret)).size).toBe(1000)
  const ids = Array.from({ length: 1000 }, newKeyId)
  expect(new Set(ids).size).toBe(1000)
  for (const id of ids) expect(id).toMatch(/^key_[0-9A-Za-z]{10}$/)
})

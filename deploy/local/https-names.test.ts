import { isIP } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { canonicalAddress, canonicalNames } from './https-names.ts'

describe('canonicalNames', () => {
  test.each([
    ['Llm.Example.', 'llm.example'],
    ['bücher.example', 'xn--bcher-kva.example'],
    ['*.example.org', '*.example.org'],
    ['2001:DB8:0::1', '2001:db8::1'],
    ['10.0.0.1', '10.0.0.1'],
    ['llm', 'llm'],
  ])('%s stands in a certificate as %s', (given, canonical) => expect(canonicalNames([given])).toEqual([canonical]))

  test('holds each name once', () => {
    expect(canonicalNames(['::1', 'a.example', '0:0:0:0:0:0:0:1', 'A.example'])).toEqual(['::1', 'a.example'])
  })

  const neither = ['', '.', 'a b', 'a,DNS:b', 'http://a', '10.0.0.256', 'fe80::1%eth0', '-a.example', 'a..b', '*.', '*', 'a.*.b']
  test.each([...neither, `${'a'.repeat(64)}.example`])('refuses %j', (given) => {
    expect(() => canonicalNames([given])).toThrow('neither a DNS name nor an IP address')
  })

  const own = ['gateway.intramuros.internal', 'INTRAMUROS.internal', '*.intramuros.internal']
  test.each(own)('refuses %s, a name of the services', (given) => {
    expect(() => canonicalNames([given])).toThrow("services' own")
  })

  test('is idempotent', () =>
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain()), (name) => {
        const [once] = canonicalNames([name])
        expect(canonicalNames([once ?? ''])).toEqual([once])
        expect(isIP(once ?? '')).toBe(isIP(name))
      }),
    ))
})

test('canonicalAddress leaves other text as it is', () => expect(canonicalAddress('localhost')).toBe('localhost'))

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatTarget, isMetadataAddress, isTarget, methods, parseTarget, type Target } from './target.ts'

const host = fc.oneof(fc.ipV4(), fc.ipV6())
const target: fc.Arbitrary<Target> = fc.oneof(
  fc.record({ method: fc.constantFrom('tcp' as const, 'dns' as const), host, port: fc.integer({ min: 1, max: 65_535 }) }),
  fc.record({ method: fc.constant('ping' as const), host, port: fc.constant(0) }),
)

test('every target has one text, which is read as it', () => {
  fc.assert(
    fc.property(target, (one) => {
      expect(isTarget(one)).toBe(true)
      expect(parseTarget(formatTarget(one))).toEqual(one)
    }),
  )
})

test('whatever is read as a target can be tried', () => {
  const texts = fc.oneof(fc.string(), fc.tuple(fc.constantFrom(...methods, 'udp'), fc.constantFrom(':', '=', ''), fc.oneof(host, fc.domain()), fc.constantFrom('', ':0', ':53', ':65536', ':x')).map((parts) => parts.join('')))
  fc.assert(
    fc.property(texts, (text) => {
      const read = parseTarget(text)
      if (read !== undefined) expect(isTarget(read)).toBe(true)
    }),
  )
})

test.each(['', 'tcp:1.1.1.1', 'tcp:1.1.1.1:0', 'tcp:1.1.1.1:65536', 'ping:1.1.1.1:7', 'tcp:example.org:443', 'tcp:::1:443', 'tcp:[1.1.1.1]:443', 'tcp:1.1.1:443', 'icmp:1.1.1.1', ' tcp:1.1.1.1:1'])('%j is none', (text) => {
  expect(parseTarget(text)).toBeUndefined()
})

test('where clouds tell credentials', () => {
  expect(['169.254.169.254', '169.254.170.2', 'fd00:ec2::254', 'fe80::a9fe:a9fe'].every(isMetadataAddress)).toBe(true)
  expect(['169.253.1.1', '1.169.254.1', 'fd00::1', '2001:db8::1'].some(isMetadataAddress)).toBe(false)
})

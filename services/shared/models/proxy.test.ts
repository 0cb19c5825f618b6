import { expect, test } from 'vitest'
import { proxyFor } from './proxy.ts'

const target = new URL('https://hub.example.org/a')
const chosen = (env: NodeJS.ProcessEnv, url = target, proxy?: string): string | undefined => proxyFor(url, { env, proxy })?.href

test('is chosen by the kind of address, the lower-case variable first', () => {
  expect(chosen({})).toBeUndefined()
  expect(chosen({ HTTPS_PROXY: '' })).toBeUndefined()
  expect(chosen({ HTTPS_PROXY: 'http://a:1', HTTP_PROXY: 'http://b:2' })).toBe('http://a:1/')
  expect(chosen({ HTTPS_PROXY: 'http://a:1', https_proxy: 'http://c:3' })).toBe('http://c:3/')
  expect(chosen({ HTTP_PROXY: 'http://b:2' })).toBeUndefined()
  expect(chosen({ HTTP_PROXY: 'http://b:2' }, new URL('http://x/'))).toBe('http://b:2/')
  expect(chosen({ ALL_PROXY: 'd:4' })).toBe('http://d:4/')
  expect(chosen({ HTTPS_PROXY: 'http://a:1' }, target, 'http://pip:9')).toBe('http://pip:9/')
})

test.each([
  ['*', true],
  ['example.org', true],
  ['.example.org', true],
  ['*.example.org', true],
  ['hub.example.org', true],
  ['other.org, hub.example.org:443', true],
  ['hub.example.org:8443', false],
  ['ample.org', false],
  ['b.example.org', false],
  ['', false],
])('is left out by NO_PROXY=%s: %s', (noProxy, exempt) => {
  expect(chosen({ HTTPS_PROXY: 'http://a:1', NO_PROXY: noProxy }) === undefined).toBe(exempt)
})

test('is left out for addresses that NO_PROXY names', () => {
  expect(chosen({ HTTPS_PROXY: 'http://a:1', NO_PROXY: '10.0.0.1,[::1],::2' }, new URL('https://10.0.0.1/'))).toBeUndefined()
  expect(chosen({ HTTPS_PROXY: 'http://a:1', NO_PROXY: '::1' }, new URL('https://[::1]:8443/'))).toBeUndefined()
  expect(chosen({ HTTPS_PROXY: 'http://a:1', NO_PROXY: '0.0.1' }, new URL('https://10.0.0.1/'))).toBe('http://a:1/')
})

test('of a kind that is not supported is said to be so, without its credentials', () => {
  expect(() => chosen({ ALL_PROXY: 'socks5://me:secret@a:1' })).toThrow(
    'a proxy of kind socks5 is not supported, only http and https',
  )
  expect(() => chosen({ ALL_PROXY: 'http://' })).toThrow('the proxy setting is not an address')
})

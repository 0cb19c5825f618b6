import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formats } from './formats.ts'

const examples: Record<string, { good: string[]; bad: string[] }> = {
  host: {
    good: ['localhost', '127.0.0.1', '0.0.0.0', '::', '::1', 'fe80::1', 'ai.bank.example', 'A-1.b2', '3com.example'],
    bad: [
      '',
      ' localhost',
      '300.1.1.1',
      '127.0.0',
      '8443',
      'a..b',
      '-a',
      'a-',
      'a_b',
      'http://a',
      'a:1',
      '[::1]',
      `${'a'.repeat(64)}.b`,
      '*.example',
    ],
  },
  'host:port': {
    good: ['127.0.0.1:0', 'audit:50051', '[::1]:50051', 'a.b:65535'],
    bad: ['', '127.0.0.1', ':1', '::1:50051', '[127.0.0.1]:1', 'a:65536', 'a:-1', 'a:b', 'a:1:2', 'a: 1'],
  },
  url: {
    good: ['https://a', 'http://127.0.0.1:4318/x', 'HTTPS://A.b'],
    bad: ['', 'a', 'ftp://a', 'https://', 'https:///x', 'http://a b', 'http://[', 'file:///etc'],
  },
  'pod-url': {
    good: ['http://127.0.0.1:8000', 'http://127.255.0.9:1/', 'http://localhost:65535', 'http://[::1]:8000', 'unix:/run/server.sock'],
    bad: [
      '',
      '127.0.0.1:8000',
      'https://127.0.0.1:8000',
      'http://127.0.0.1',
      'http://127.0.0.1:0',
      'http://127.0.0.1:65536',
      'http://127.0.0.1:8000/v1',
      'http://127.0.0.999:8000',
      'http://127.0.0.1.example:8000',
      'http://127.0.0.1@example:8000',
      'http://localhost.example:8000',
      'http://10.0.0.1:8000',
      'http://0.0.0.0:8000',
      'http://[::2]:8000',
      'http://2130706433:8000',
      'unix:run/server.sock',
      'unix:/',
    ],
  },
  'postgres-url': {
    good: ['postgres://u@db/audit', 'postgresql://u@db.example:5433/audit', 'postgres://u@[::1]:5432/audit', 'postgres://u@%2Frun%2Fpostgresql/audit', 'postgres://a%40b@10.0.0.1/x%20y'],
    bad: ['', 'x', 'postgres://', 'postgres://db/audit', 'postgres://u@db', 'postgres://u@db/', 'postgres://u:p@db/audit', 'postgres://u@db:0/x', 'postgres://u@db:65536/x', 'postgres://u@db/x?sslmode=disable', 'postgres://u@a%2Fb/x', 'postgres://u@db/%00', 'postgres://u@db/%zz', 'http://u@db/x', 'postgres://u@a,b/x'],
  },
  folder: { good: ['/srv/x', '~/x'], bad: ['', 'x', './x', '~x/y'] },
  size: { good: ['24GiB', '1.5 GiB', '512MB', '1000B', '8gB'], bad: ['', '24', 'GiB', '-1GiB', '1e3GiB', '24 gibibytes', '1,5GiB'] },
  file: { good: ['/run/secrets/key', '~/key'], bad: ['', 'key', './key', '~x/key'] },
  variable: {
    good: ['MODEL_KEY', '_x1', 'INTRAMUROS_MODEL_KEY'],
    bad: ['', '1A', 'A-B', 'A B', 'A=1', 'INTRAMUROS_KEY', 'INTRAMUROS_LOG_LEVEL'],
  },
  target: {
    good: ['tcp:1.1.1.1:443', 'dns:[2606:4700:4700::1111]:53', 'ping:1.1.1.1', 'ping:[::1]'],
    bad: ['', '1.1.1.1:443', 'tcp:1.1.1.1', 'tcp:1.1.1.1:0', 'tcp:1.1.1.1:65536', 'ping:1.1.1.1:1', 'tcp:example.org:443', 'tcp:::1:443', 'udp:1.1.1.1:53'],
  },
  name: { good: ['gateway', 'gw-1', 'A.b_c', 'x'.repeat(63)], bad: ['', '-a', 'a b', 'x'.repeat(64), 'a/b'] },
}

describe.each(Object.entries(formats))('%s', (name, format) => {
  const { good, bad } = examples[name] ?? { good: [], bad: [] }

  test('has examples', () => {
    expect(good.length * bad.length).toBeGreaterThan(0)
  })

  test.each(good)('accepts %j', (text) => {
    expect(format.accepts(text)).toBe(true)
    expect(text).toMatch(new RegExp(format.pattern, 'u'))
  })

  test.each(bad)('refuses %j', (text) => {
    expect(format.accepts(text)).toBe(false)
  })

  test('what is accepted matches the pattern for editors', () => {
    const parts = fc.oneof(
      fc.constantFrom('a', 'Z9', '-', '.', ':', '/', '\\', '[', ']', '~', '::1', '127.0.0.1', 'http://', 'https://', '80', '%'),
      fc.string({ maxLength: 2 }),
    )
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 6 }), (list) => {
        const text = list.join('')
        if (format.accepts(text)) expect(text).toMatch(new RegExp(format.pattern, 'u'))
      }),
      { numRuns: 2000 },
    )
  })
})

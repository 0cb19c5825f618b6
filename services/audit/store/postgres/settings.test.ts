import { expect, test } from 'vitest'
import { loadConfig } from '../../../shared/config/load.ts'
import { isLocalPostgres, parsePostgresUrl } from '../../../shared/config/postgres-url.ts'
import { postgresSettings } from './settings.ts'

const home = { INTRAMUROS_HOME: '/nonexistent', HOME: '/home/me' }

test('without a URL the log is in a folder', () => {
  expect(postgresSettings(loadConfig({ env: home }).audit.postgres)).toBeUndefined()
})

test('settings become what the store wants, with paths in the home folder filled in', () => {
  const env = { INTRAMUROS_AUDIT_POSTGRES_URL: 'postgres://a%40b@db:5433/audit%20log', INTRAMUROS_AUDIT_POSTGRES_PASSWORD_FILE: '~/pw', INTRAMUROS_AUDIT_POSTGRES_CA_FILE: '~/ca.pem' }
  expect(postgresSettings(loadConfig({ env: { ...home, ...env } }).audit.postgres)).toEqual({
    settings: { address: { user: 'a@b', host: 'db', port: 5433, database: 'audit log' }, passwordFile: '/home/me/pw', tls: 'auto', caFile: '/home/me/ca.pem' },
    timing: { answerMs: 5000 },
  })
})

test.each([
  ['postgres://u@localhost/d', 'localhost', true],
  ['postgres://u@127.8.0.1/d', '127.8.0.1', true],
  ['postgresql://u@[::1]:5432/d', '::1', true],
  ['postgres://u@%2Frun%2Fpostgresql/d', '/run/postgresql', true],
  ['postgres://u@127.evil.example/d', '127.evil.example', false],
  ['postgres://u@localhost.evil.example/d', 'localhost.evil.example', false],
  ['postgres://u@[2001:db8::1]/d', '2001:db8::1', false],
  ['postgres://u@10.0.0.1/d', '10.0.0.1', false],
])('of %s, the host is %s, and only on this machine TLS is not the default', (url, host, local) => {
  const address = parsePostgresUrl(url)
  expect(address?.host).toBe(host)
  expect(address !== undefined && isLocalPostgres(address)).toBe(local)
})

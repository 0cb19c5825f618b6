import fc from 'fast-check'
import { expect, test } from 'vitest'
import { sanOf, serviceNameOfPeer } from './service-name.ts'

test('names the service of a certificate', () =>
  fc.assert(
    fc.property(fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/), (name) => {
      expect(serviceNameOfPeer({ subjectaltname: `DNS:${sanOf(name)}` })).toBe(name)
    }),
  ))

test.each([
  undefined,
  null,
  'DNS:gateway.intramuros.internal',
  {},
  { subjectaltname: undefined },
  { subject: { CN: 'gateway.intramuros.internal' } },
  { subjectaltname: '' },
  { subjectaltname: 'DNS:gateway.intramuros.internal, DNS:audit.intramuros.internal' },
  { subjectaltname: 'DNS:gateway.intramuros.internal, IP Address:127.0.0.1' },
  { subjectaltname: 'DNS:"gateway.intramuros.internal, DNS:x"' },
  { subjectaltname: 'URI:gateway.intramuros.internal' },
  { subjectaltname: 'DNS:gateway.intramuros.internal.example' },
  { subjectaltname: 'DNS:gatewayXintramuros.internal' },
  { subjectaltname: 'DNS:a.gateway.intramuros.internal' },
  { subjectaltname: 'DNS:gateway.intramuros.internal\n' },
  { subjectaltname: 'DNS:.intramuros.internal' },
  { subjectaltname: 'DNS:*.intramuros.internal' },
])('%j names none', (certificate) => expect(serviceNameOfPeer(certificate)).toBeUndefined())

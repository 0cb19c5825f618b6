import fc from 'fast-check'
import Schema from 'typebox/schema'
import { expect, test } from 'vitest'
import { Auth, Outcome, Priority, ServiceEvent, ServiceKind } from '../../proto/gen/intramuros/v1/audit.ts'
import { formats } from '../shared/config/formats.ts'
import { newKeyId } from '../shared/directory/api-key.ts'
import { checkTeamName } from '../shared/directory/names.ts'
import { ModelEntry } from '../shared/models/catalogue.ts'
import { encodeRecord, maxRecordBytes } from './records/record.ts'
import { validBegin, validEnd } from './validate.ts'
import { validEvent } from './validate-event.ts'

/** What may be configured must be recordable: else the first request of an oddly named team or model could not be answered. */
const accepted = (pattern: string, accepts: (text: string) => boolean) => fc.stringMatching(new RegExp(pattern)).filter(accepts)
const team = accepted('^[a-z0-9][a-z0-9-]{0,62}$', (name) => {
  checkTeamName(name)
  return true
})
const modelPattern = '^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$'
const instance = accepted(formats['name']?.pattern ?? '', (name) => formats['name']?.accepts(name) === true)
const label = fc.stringMatching(/^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/)
const host = fc.array(label, { minLength: 1, maxLength: 6 }).map((labels) => labels.join('.'))
const address = fc
  .tuple(fc.oneof(host, fc.ipV4(), fc.ipV6().map((ip) => `[${ip}]`), fc.constantFrom('[fe80::1%eth0.10]', `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`)), fc.nat(65_535))
  .map(([name, port]) => `${name}:${port}`)
  .filter((text) => formats['host:port']?.accepts(text) === true)
const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const number = fc.double({ noNaN: true, noDefaultInfinity: true })
const absent = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })

test('the pattern of model ids is the one of the catalogue', () => {
  expect(ModelEntry.properties.id).toMatchObject({ pattern: modelPattern })
  expect(Schema.Check(ModelEntry.properties.id, 'a:b/c.d_e-f')).toBe(true)
})

test('whatever teams, models, gateways and workers are called, their requests can be recorded', () => {
  const parameters = fc.record({ maxTokens: absent(uint32), n: absent(uint32), temperature: absent(number), topP: absent(number), seed: absent(fc.boolean()), tools: absent(uint32), structured: absent(fc.boolean()), logprobs: absent(fc.boolean()) })
  fc.assert(
    fc.property(team, fc.stringMatching(new RegExp(modelPattern)), instance, address, fc.uuid(), uint32, parameters, (own, model, gateway, worker, requestId, count, sent) => {
      const begin = validBegin({
        requestId, instance: gateway, team: own, keyId: newKeyId(), model, endpoint: 'POST /v1/messages/count_tokens', stream: false, requestBytes: count, gatewayVersion: '1.2.3-rc.1+build.7', subject: '',
        auth: Auth.API_KEY, modelDigest: '', adapter: '', priority: Priority.INTERACTIVE, parameters: sent, again: false,
      })
      const end = validEnd({
        requestId, outcome: Outcome.FAILED, finishReason: '', error: 'no_worker', inputTokens: count, outputTokens: count, responseBytes: count, firstTokenUs: BigInt(count), durationUs: 2n ** 50n, worker,
        cachedTokens: count, workerUs: 2n ** 52n, workerVersion: '1.2.3', redactions: [],
      })
      const event = validEvent({
        id: requestId,
        event: { $case: 'serviceChanged', value: { service: ServiceKind.INFERENCE_WORKER, instance: worker, event: ServiceEvent.LEFT, version: '1.2.3', model, modelDigest: '' } },
      })
      const place = { v: 1, at: '2026-11-01T00:00:00.000Z', clock: 'ok' } as const
      for (const entry of [{ type: 'request.begin', ...begin } as const, { type: 'request.end', team: own, ...end } as const, event.entry]) {
        expect(encodeRecord({ ...place, ...entry }).length).toBeLessThanOrEqual(maxRecordBytes)
      }
    }),
  )
})

test('parameters that were not sent are not in the record', () => {
  const begin = validBegin({
    requestId: 'r', instance: 'g', team: 't', keyId: 'k', model: 'm', endpoint: 'POST /v1/embeddings', stream: false, requestBytes: 1, gatewayVersion: '', subject: '', auth: Auth.API_KEY, modelDigest: '',
    adapter: '', priority: Priority.INTERACTIVE, parameters: { maxTokens: undefined, seed: false, topP: 1e-7 }, again: false,
  })
  expect(begin.parameters).toEqual({ seed: false, topP: '1e-7' })
})

import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type BeginRequest, type EndRequest, Outcome } from '../../proto/gen/intramuros/v1/audit.ts'
import type { CallContext } from '../shared/rpc/handler.ts'
import { createLedger } from './ledger.ts'
import { type AuditLog, openLog } from './log/log.ts'
import { createMetrics } from './metrics.ts'
import { createRequests } from './requests.ts'
import { type AuditService, createAuditService } from './service.ts'

let folder: string
let log: AuditLog
let service: AuditService
let registry: Registry
let logged: object[]
let timers: number

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'audit-service-'))
  logged = []
  timers = 0
  const note = (fields: object): void => void logged.push(fields)
  const logger = { debug: note, info: note, warn: note, error: note }
  registry = new Registry()
  const metrics = createMetrics(registry)
  const requests = createRequests()
  log = await openLog({ folder, lockWaitMs: 0, clock: Date.now, log: logger, metrics, onRecord: requests.replay, onFailed: () => undefined })
  const schedule = (): (() => void) => {
    timers += 1
    return () => (timers -= 1)
  }
  const ledger = createLedger({ log, requests, orphanMs: 1000, schedule, logger, onOpen: (count) => metrics.openRequests.set(count) })
  service = createAuditService({ ledger, log: logger })
})
afterEach(async () => {
  await log.close()
  await rm(folder, { recursive: true })
})

function call(signal = new AbortController().signal): CallContext {
  return { requestId: 'r', peer: 'gateway', signal }
}

const begin: BeginRequest = {
  requestId: 'r', instance: 'gateway', team: 'default', keyId: 'key_1', model: 'org/model:q4', endpoint: 'POST /v1/chat/completions', stream: true, requestBytes: 12,
}
const end: EndRequest = {
  requestId: 'r', outcome: Outcome.COMPLETED, finishReason: 'stop', error: '', inputTokens: 3, outputTokens: 4, responseBytes: 5, firstTokenUs: 6n, durationUs: 7000n,
  worker: '[::1]:50051',
}

async function records(): Promise<unknown[]> {
  return (await readFile(join(folder, 'audit.log'), 'latin1')).split('\n').slice(0, -1).map((line) => JSON.parse(line) as unknown)
}

test('a request from its begin to its end', async () => {
  expect(await service.begin(begin, call())).toEqual({ index: 0n })
  expect(await service.end(end, call())).toEqual({ index: 1n })
  expect(await records()).toMatchObject([
    { seq: 0, type: 'begin', ...begin },
    { seq: 1, type: 'end', ...end, outcome: 'completed', firstTokenUs: 6, durationUs: 7000 },
  ])
  expect(logged).toEqual([{ requestId: 'r', index: 0 }, { requestId: 'r', index: 1, outcome: 'completed', durationMs: 7 }])
})

test.each([[Outcome.CANCELLED, 'cancelled'], [Outcome.FAILED, 'failed']] as const)('outcome %s is %s', async (outcome, name) => {
  await service.begin(begin, call())
  await service.end({ ...end, outcome }, call())
  expect((await records())[1]).toMatchObject({ outcome: name })
})

const secret = 'my secret prompt'
test.each<[string, Partial<BeginRequest>]>([
  ['requestId', { requestId: secret }],
  ['requestId', { requestId: '' }],
  ['instance', { instance: '' }],
  ['team', { team: secret }],
  ['keyId', { keyId: secret }],
  ['model', { model: secret }],
  ['model', { model: 'x'.repeat(129) }],
  ['endpoint', { endpoint: secret }],
  ['endpoint', { endpoint: 'POST /v1?prompt=secret' }],
  ['requestBytes', { requestBytes: -1 }],
  ['requestBytes', { requestBytes: 0.5 }],
])('a begin with a bad %s is refused by name alone', async (param, change) => {
  const refusal = await service.begin({ ...begin, ...change }, call()).catch((thrown: unknown) => thrown)
  expect(refusal).toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'invalid_record', param })
  expect(JSON.stringify([refusal, String(refusal), logged])).not.toContain('secret')
  expect(await records()).toEqual([])
})

test.each<[string, Partial<EndRequest>]>([
  ['outcome', { outcome: Outcome.UNSPECIFIED }],
  ['outcome', { outcome: Outcome.UNRECOGNIZED }],
  ['finishReason', { finishReason: secret }],
  ['error', { error: 'Prompt: secret' }],
  ['worker', { worker: secret }],
  ['durationUs', { durationUs: 2n ** 63n }],
])('an end with a bad %s is refused by name alone', async (param, change) => {
  await service.begin(begin, call())
  const refusal = await service.end({ ...end, ...change }, call()).catch((thrown: unknown) => thrown)
  expect(refusal).toMatchObject({ code: 'INVALID_ARGUMENT', param })
  expect(JSON.stringify([refusal, String(refusal), logged])).not.toContain('secret')
})

test('nothing but the fields of a record is stored', async () => {
  const extended = { ...begin, prompt: secret }
  await service.begin(extended, call())
  expect(JSON.stringify(await records())).not.toContain('secret')
})

test('a begin that nobody waits for any more is not stored', async () => {
  const gone = AbortSignal.abort(new Error('gone'))
  await expect(service.begin(begin, call(gone))).rejects.toThrow('gone')
  expect(await records()).toEqual([])
})

test('attach answers once, and ends with its caller', async () => {
  await service.begin(begin, call())
  const abort = new AbortController()
  const events = service.attach({ instance: 'gateway', open: ['r'] }, call(abort.signal))[Symbol.asyncIterator]()
  expect(await events.next()).toEqual({ value: {}, done: false })
  expect(timers).toBe(0)
  const next = events.next()
  abort.abort(new Error('gone'))
  await expect(next).rejects.toThrow('gone')
  expect(timers).toBe(1)
  expect(await service.end(end, call())).toEqual({ index: 1n })
})

test('attach ends when the caller stops reading', async () => {
  for await (const _ of service.attach({ instance: 'gateway', open: [] }, call())) break
  expect(timers).toBe(1)
})

test('an attach in the place of another ends that one', async () => {
  const older = service.attach({ instance: 'gateway', open: [] }, call())[Symbol.asyncIterator]()
  await older.next()
  const over = older.next()
  const newer = service.attach({ instance: 'gateway', open: [] }, call())[Symbol.asyncIterator]()
  await newer.next()
  await expect(over).rejects.toMatchObject({ reason: 'attach_replaced' })
  await newer.return?.()
})

test.each([{ instance: secret, open: [] }, { instance: 'gateway', open: [secret] }])('a bad attach is refused', async (request) => {
  const events = service.attach(request, call())[Symbol.asyncIterator]()
  await expect(events.next()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
})

test('metrics', async () => {
  await Promise.all(['a', 'b', 'c'].map((requestId) => service.begin({ ...begin, requestId }, call())))
  await service.end({ ...end, requestId: 'a' }, call())
  for await (const _ of service.attach({ instance: 'gateway', open: ['b'] }, call())) break
  const text = await registry.metrics()
  const size = (await readFile(join(folder, 'audit.log'))).length
  for (const line of [
    'intramuros_audit_records_total{type="begin"} 3',
    'intramuros_audit_records_total{type="end"} 1',
    'intramuros_audit_records_total{type="interrupted"} 1',
    'intramuros_audit_group_records_sum 5',
    'intramuros_audit_group_records_count 3',
    'intramuros_audit_append_seconds_count 3',
    'intramuros_audit_open_requests 1',
    `intramuros_audit_log_bytes ${size}`,
  ]) expect(text.split('\n')).toContain(line)
})

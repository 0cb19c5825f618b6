import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Auth, type BeginRequest, type EndRequest, type IsolationChecked, IsolationOutcome, Outcome, Priority, type RecordRequest, ServiceEvent, ServiceKind } from '../../proto/gen/intramuros/v1/audit.ts'
import type { CallContext } from '../shared/rpc/handler.ts'
import { createIsolationChecks } from './isolation-checks.ts'
import { createLedger } from './ledger.ts'
import { createRequests } from './requests.ts'
import { type AuditService, createAuditService } from './service.ts'
import { openSettingsMemory } from './settings-memory.ts'
import { createMemoryLog, type MemoryLog } from './test-support/memory-log.ts'

let folder: string
let log: MemoryLog
let service: AuditService
let logged: object[]
let timers: number
let erased: string[][]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'audit-service-'))
  logged = []
  timers = 0
  erased = []
  log = createMemoryLog()
  service = await createService()
})
afterEach(() => rm(folder, { recursive: true }))

async function createService(): Promise<AuditService> {
  const note = (fields: object): void => void logged.push(fields)
  const logger = { debug: note, info: note, warn: note, error: note }
  const schedule = (): (() => void) => {
    timers += 1
    return () => (timers -= 1)
  }
  const ledger = createLedger({ log, requests: createRequests(), findForgotten: () => Promise.resolve(undefined), orphanMs: 1000, schedule, logger, onOpen: () => undefined })
  const settings = await openSettingsMemory(join(folder, 'settings.json'))
  const receipts = {
    receiptOf: (requestId: string, team: string) => Promise.resolve(`receipt of ${requestId} for ${team}`),
    isolationProof: (index: number) => Promise.resolve(`proof of ${index}`),
  }
  const isolation = createIsolationChecks({ newest: () => Promise.resolve(undefined), registry: new Registry(), log: logger, clock: () => 0 })
  const content = { keep: () => Promise.resolve(undefined), keyDestroyed: (...key: string[]) => Promise.resolve(void erased.push(key)) }
  return createAuditService({ ledger, receipts, settings, content, isolation, log: logger })
}

function call(signal = new AbortController().signal): CallContext {
  return { requestId: 'r', peer: 'gateway', signal }
}

const asked: BeginRequest = {
  requestId: 'r', instance: 'gateway', team: 'default', keyId: 'key_1', model: 'org/model:q4', endpoint: 'POST /v1/chat/completions', stream: true, requestBytes: 12, gatewayVersion: '0.1.0', subject: '',
  auth: Auth.API_KEY, modelDigest: '', adapter: '', priority: Priority.BATCH, parameters: { maxTokens: 5, temperature: 0.7, seed: true }, again: false,
}
/** What of it is recorded. */
const { again: _, ...begin } = asked
const end: EndRequest = {
  requestId: 'r', outcome: Outcome.COMPLETED, finishReason: 'stop', error: '', inputTokens: 3, outputTokens: 4, responseBytes: 5, firstTokenUs: 6n, durationUs: 7000n,
  worker: '[::1]:50051', cachedTokens: 2, workerUs: 6000n, workerVersion: '0.1.0', redactions: [],
}

function records(): Promise<unknown[]> {
  return log.records()
}

test('a request from its begin to its end', async () => {
  expect(await service.begin(asked, call())).toEqual({ index: 0n })
  expect(await service.end(end, call())).toEqual({ index: 1n })
  expect(await records()).toMatchObject([
    { type: 'request.begin', ...begin, auth: 'api_key', priority: 'batch', parameters: { maxTokens: 5, temperature: '0.7', seed: true } },
    { type: 'request.end', team: 'default', ...end, outcome: 'completed', firstTokenUs: 6, durationUs: 7000, workerUs: 6000 },
  ])
  expect(logged).toEqual([{ requestId: 'r', index: 0 }, { requestId: 'r', index: 1, outcome: 'completed', durationMs: 7 }])
})

test.each([[Outcome.CANCELLED, 'cancelled'], [Outcome.FAILED, 'failed']] as const)('outcome %s is %s', async (outcome, name) => {
  await service.begin(asked, call())
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
  ['auth', { auth: Auth.UNSPECIFIED }],
  ['priority', { priority: Priority.UNSPECIFIED }],
  ['modelDigest', { modelDigest: secret }],
  ['parameters', { parameters: { temperature: Number.NaN } }],
])('a begin with a bad %s is refused by name alone', async (param, change) => {
  const refusal = await service.begin({ ...asked, ...change }, call()).catch((thrown: unknown) => thrown)
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
  ['workerVersion', { workerVersion: secret }],
  ['redactions', { redactions: [{ kind: secret, count: 1 }] }],
])('an end with a bad %s is refused by name alone', async (param, change) => {
  await service.begin(asked, call())
  const refusal = await service.end({ ...end, ...change }, call()).catch((thrown: unknown) => thrown)
  expect(refusal).toMatchObject({ code: 'INVALID_ARGUMENT', param })
  expect(JSON.stringify([refusal, String(refusal), logged])).not.toContain('secret')
})

test('nothing but the fields of a record is stored', async () => {
  const extended = { ...asked, prompt: secret, parameters: { maxTokens: 1, prompt: secret } }
  await service.begin(extended, call())
  expect(JSON.stringify(await records())).not.toContain('secret')
})

test('a begin that nobody waits for any more is not stored', async () => {
  const gone = AbortSignal.abort(new Error('gone'))
  await expect(service.begin(asked, call(gone))).rejects.toThrow('gone')
  expect(await records()).toEqual([])
})

test('attach answers once, and ends with its caller', async () => {
  await service.begin(asked, call())
  const abort = new AbortController()
  const events = service.attach({ instance: 'gateway', open: ['r'] }, call(abort.signal))[Symbol.asyncIterator]()
  expect(await events.next()).toMatchObject({ value: { directoryChange: 0n }, done: false })
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

const refused = { team: '', keyId: '', source: '10.0.0.1', endpoint: 'POST /v1/chat/completions', reason: 'invalid_api_key', instance: 'gateway', count: 3 }
const changed = { service: ServiceKind.INFERENCE_WORKER, instance: '[fe80::1%eth0]:5000', event: ServiceEvent.JOINED, version: '0.1.0', model: 'm', modelDigest: 'ab'.repeat(32) }
test('what was kept under a key that was destroyed is deleted, behind the record of that', async () => {
  const value = { ...directoryChanged, id: 9n, event: 'content_key.destroyed', keyId: 'a-1.0123456789abcdef', settings: [] }
  await service.record({ id: 'd', event: { $case: 'directoryChanged', value } }, call())
  expect(await records()).toMatchObject([{ event: 'content_key.destroyed', keyId: 'a-1.0123456789abcdef' }])
  expect(erased).toEqual([['a', 'a-1.0123456789abcdef']])
})

const directoryChanged = { id: 5n, changedAt: '2026-11-01T00:00:00.000Z', event: 'team.changed', team: 'a', keyId: '', settings: ['weight'] }
const unrecorded = {
  requestId: 'r', instance: 'gateway', team: 'a', keyId: 'key_1', model: 'm', endpoint: 'POST /v1/messages', beganAt: '2026-11-01T00:00:00.000Z', outcome: Outcome.CANCELLED, inputTokens: 1, outputTokens: 2,
}

test('events are recorded as they are told', async () => {
  const events: RecordRequest['event'][] = [
    { $case: 'requestRefused', value: refused },
    { $case: 'serviceChanged', value: changed },
    { $case: 'directoryChanged', value: directoryChanged },
    { $case: 'requestUnrecorded', value: unrecorded },
  ]
  for (const [at, event] of events.entries()) expect(await service.record({ id: `e-${at}`, event }, call())).toEqual({ index: BigInt(at) })
  expect(await service.record({ id: 'e-4', event: events[2] }, call())).toEqual({})
  expect(await records()).toMatchObject([
    { type: 'request.refused', ...refused },
    { type: 'service.changed', ...changed, service: 'inference-worker', event: 'joined' },
    { type: 'directory.changed', ...directoryChanged, id: 5 },
    { type: 'request.unrecorded', ...unrecorded, outcome: 'cancelled' },
  ])
  const attached = await service.attach({ instance: 'gateway', open: [] }, call())[Symbol.asyncIterator]().next()
  expect(attached.value).toMatchObject({ directoryChange: 5n })
})

test.each<[string, RecordRequest]>([
  ['id', { id: secret, event: { $case: 'requestRefused', value: refused } }],
  ['', { id: 'e', event: undefined }],
  ['source', { id: 'e', event: { $case: 'requestRefused', value: { ...refused, source: secret } } }],
  ['reason', { id: 'e', event: { $case: 'requestRefused', value: { ...refused, reason: 'Secret' } } }],
  ['service', { id: 'e', event: { $case: 'serviceChanged', value: { ...changed, service: ServiceKind.UNSPECIFIED } } }],
  ['event', { id: 'e', event: { $case: 'serviceChanged', value: { ...changed, event: ServiceEvent.UNRECOGNIZED } } }],
  ['event', { id: 'e', event: { $case: 'directoryChanged', value: { ...directoryChanged, event: secret } } }],
  ['id', { id: 'e', event: { $case: 'directoryChanged', value: { ...directoryChanged, id: 2n ** 60n } } }],
  ['settings', { id: 'e', event: { $case: 'directoryChanged', value: { ...directoryChanged, settings: [secret] } } }],
  ['beganAt', { id: 'e', event: { $case: 'requestUnrecorded', value: { ...unrecorded, beganAt: secret } } }],
])('an event with a bad %s is refused by name alone', async (param, request) => {
  const refusal = await service.record(request, call()).catch((thrown: unknown) => thrown)
  expect(refusal).toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'invalid_record', ...(param === '' ? {} : { param }) })
  expect(JSON.stringify([refusal, String(refusal), logged]).toLowerCase()).not.toContain('secret')
  expect(await records()).toEqual([])
})

const checked: IsolationChecked = {
  instance: 'llm-isolation-x', outcome: IsolationOutcome.VIOLATED, components: ['gateway', 'tokenizer'], attempts: 20, violations: 2, broken: 0, untried: 1, report: 'ab'.repeat(32),
  problems: [{ component: 'tokenizer', kind: 'dns', verdict: 'violated', count: 2 }],
}

test('checks of the walls are recorded, each compared to the one before', async () => {
  const record = (id: string, change: Partial<IsolationChecked> = {}) => service.record({ id, event: { $case: 'isolationChecked', value: { ...checked, ...change } } }, call())
  expect(await record('i-1')).toEqual({ index: 0n })
  expect(await record('i-1')).toEqual({ index: 0n })
  expect(await record('i-2', { attempts: 21 })).toEqual({ index: 1n })
  expect(await record('i-3', { outcome: IsolationOutcome.HELD, violations: 0, problems: [] })).toEqual({ index: 2n })
  expect(await records()).toMatchObject([
    { type: 'isolation.checked', ...checked, outcome: 'violated', compared: 'first' },
    { compared: 'same', attempts: 21 },
    { compared: 'changed', outcome: 'held', problems: [] },
  ])
  expect(await service.proveIsolation({ index: 2n }, call())).toEqual({ proof: 'proof of 2' })
})

test.each<[string, Partial<IsolationChecked>]>([
  ['instance', { instance: secret }],
  ['outcome', { outcome: IsolationOutcome.UNSPECIFIED }],
  ['components', { components: [secret] }],
  ['attempts', { attempts: -1 }],
  ['report', { report: secret }],
  ['problems', { problems: [{ component: 'tokenizer', kind: secret, verdict: 'violated', count: 1 }] }],
  ['problems', { problems: [{ component: 'tokenizer', kind: 'dns', verdict: secret, count: 1 }] }],
  ['problems', { problems: Array.from({ length: 33 }, () => ({ component: 'tokenizer', kind: 'dns', verdict: 'violated', count: 1 })) }],
])('a check with a bad %s is refused by name alone', async (param, change) => {
  const refusal = await service.record({ id: 'i', event: { $case: 'isolationChecked', value: { ...checked, ...change } } }, call()).catch((thrown: unknown) => thrown)
  expect(refusal).toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'invalid_record', param })
  expect(JSON.stringify([refusal, String(refusal), logged]).toLowerCase()).not.toContain('secret')
  expect(await records()).toEqual([])
})

test('of changed settings the names are recorded, at the next start of the same service', async () => {
  const configure = (id: string, instance: string, values: Record<string, number>) =>
    service.configure({ id, service: ServiceKind.GATEWAY, instance, fingerprints: Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Buffer.alloc(32, value)])) }, call())
  expect(await configure('1', 'gateway', { 'gateway.port': 1, 'log.level': 1 })).toEqual({})
  expect(await configure('2', 'gateway', { 'gateway.port': 1, 'log.level': 1 })).toEqual({})
  expect(await configure('3', 'gateway-2', { 'gateway.port': 2 })).toEqual({})
  log.fail = true
  await expect(configure('4', 'gateway', { 'gateway.port': 2, serve: 1 })).rejects.toMatchObject({ reason: 'audit_unavailable' })
  log.fail = false
  service = await createService() // what is remembered outlives it
  expect(await configure('5', 'gateway', { 'gateway.port': 2, serve: 1 })).toEqual({ index: 0n })
  expect(await configure('6', 'gateway', { 'gateway.port': 2, serve: 1 })).toEqual({})
  expect(await configure('7', 'gateway', Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`new${index}`, 1])))).toEqual({ index: 1n })
  expect(await records()).toMatchObject([
    { type: 'configuration.changed', service: 'gateway', instance: 'gateway', settings: ['gateway.port', 'log.level', 'serve'], more: 0 },
    { settings: { length: 64 }, more: 38 },
  ])
  const bad = { id: '8', service: ServiceKind.GATEWAY, instance: 'gateway', fingerprints: { 'a b': Buffer.alloc(32) } }
  await expect(service.configure(bad, call())).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  await expect(service.configure({ ...bad, fingerprints: { a: Buffer.alloc(31) } }, call())).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
})

test('a receipt is asked for by a request and a team', async () => {
  expect(await service.getReceipt({ requestId: 'r', team: 'default' }, call())).toEqual({ proof: 'receipt of r for default' })
  await expect(service.getReceipt({ requestId: 'r', team: '' }, call())).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
})

import { describe, expect, test, vi } from 'vitest'
import { Auth, AuditService, type BeginRequest, type EndRequest, Outcome, Priority, type RequestUnrecorded } from '../../proto/gen/intramuros/v1/audit.ts'
import { ServiceError } from '../shared/errors.ts'
import type { LaneClient } from '../shared/rpc/lane-client.ts'
import { createRecords } from './records.ts'

const begin: Omit<BeginRequest, 'instance' | 'again'> = { requestId: 'r-1', team: 't', keyId: 'k', model: 'm', endpoint: 'e', stream: false, requestBytes: 1, gatewayVersion: '', subject: '', auth: Auth.API_KEY, modelDigest: '', adapter: '', priority: Priority.INTERACTIVE, parameters: {} }
const end: Omit<EndRequest, 'requestId'> = {
  outcome: Outcome.COMPLETED,
  finishReason: 'stop',
  error: '',
  inputTokens: 1,
  outputTokens: 1,
  responseBytes: 1,
  firstTokenUs: 1n,
  durationUs: 1n,
  worker: 'w',
  cachedTokens: 0,
  workerUs: 1n,
  workerVersion: '',
  redactions: [],
}

/** A ledger that is attached, and whose disk is full as long as `full` is true. */
function ledger() {
  const gone = new EventTarget()
  const state = { full: false, away: false, answerLost: false, calls: [] as unknown[], begun: [] as string[], ended: [] as string[] }
  const lane = {
    address: 'test',
    up: true,
    async unary(method: unknown, request: { requestId: string }) {
      state.calls.push(request)
      if (state.away) throw new ServiceError('UNAVAILABLE', 'peer_unreachable', 'Away.')
      if (state.full) throw new ServiceError('UNAVAILABLE', 'audit_unavailable', 'Full.')
      if (method === AuditService.begin) {
        if (!state.begun.includes(request.requestId)) state.begun.push(request.requestId)
        if (state.answerLost) {
          state.answerLost = false
          leave()
          throw new ServiceError('UNAVAILABLE', 'peer_unreachable', 'Away.')
        }
      } else if (!state.begun.includes(request.requestId)) throw new ServiceError('NOT_FOUND', 'no_such_record', 'None.')
      else state.ended.push(request.requestId)
      return { index: 7n }
    },
    async *stream(_method: unknown, _request: unknown, { signal }: { signal: AbortSignal }) {
      if (state.away) throw new ServiceError('UNAVAILABLE', 'peer_unreachable', 'Away.')
      yield { directoryChange: 3n, settingsKey: Buffer.alloc(32) }
      await new Promise((resolve) => {
        signal.addEventListener('abort', resolve)
        gone.addEventListener('gone', resolve)
      })
      throw new ServiceError('UNAVAILABLE', 'draining', 'Away.')
    },
    close() {},
  }
  function leave(): void {
    state.away = true
    gone.dispatchEvent(new Event('gone'))
  }
  return { state, leave, lane: lane as unknown as LaneClient }
}

async function attachedRecords(lane: LaneClient, onUnrecorded?: (request: RequestUnrecorded) => void) {
  const records = createRecords({ audit: lane, instance: 'g', endTimeoutMs: 50, log: { debug() {}, info() {}, warn() {}, error() {} }, onUnrecorded })
  await vi.waitFor(() => expect(records.attached).toBe(true))
  return records
}

test('an end that could not be written is written when the disk has room again, though the ledger was there all the time', async () => {
  const { state, lane } = ledger()
  const records = await attachedRecords(lane)
  const record = records.begin(begin)
  expect(await record.durable).toBe(7)
  state.full = true
  await expect(record.end(end)).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'audit_unavailable' })
  expect(state.ended).toEqual([])
  state.full = false
  await vi.waitFor(() => expect(state.ended).toEqual(['r-1']), 5000)
  records.close()
})

test('a begin that could not be written refuses the answer, and is settled later', async () => {
  const { state, lane } = ledger()
  const records = await attachedRecords(lane)
  state.full = true
  const record = records.begin(begin)
  await expect(record.durable).rejects.toMatchObject({ reason: 'audit_unavailable' })
  await record.end(end)
  state.begun.push('r-1') // it was stored after all
  state.full = false
  await vi.waitFor(() => expect(state.ended).toEqual(['r-1']), 5000)
  records.close()
})

describe('while an audit service that was there starts again', () => {
  async function patientRecords(lane: LaneClient, beginTimeoutMs: number) {
    const records = createRecords({ audit: lane, instance: 'g', beginTimeoutMs, endTimeoutMs: 50, log: { debug() {}, info() {}, warn() {}, error() {} } })
    await vi.waitFor(() => expect(records.attached).toBe(true))
    return records
  }

  test('new requests are held, and begin when it is back', async () => {
    const { state, leave, lane } = ledger()
    const records = await patientRecords(lane, 20_000)
    leave()
    await vi.waitFor(() => expect(records.attached).toBe(false))
    expect(records.available).toBe(true)
    const record = records.begin(begin)
    state.away = false
    expect(await record.durable).toBe(7)
    await record.end(end)
    expect(state).toMatchObject({ begun: ['r-1'], ended: ['r-1'] })
    records.close()
  })

  test('a begin whose answer was lost with it is repeated as such', async () => {
    const { state, lane } = ledger()
    const records = await patientRecords(lane, 20_000)
    state.answerLost = true
    const record = records.begin(begin)
    await vi.waitFor(() => expect(records.attached).toBe(false))
    state.away = false
    expect(await record.durable).toBe(7)
    expect(state.calls.map((call) => (call as BeginRequest).again)).toEqual([false, true])
    records.close()
  })

  test('they are refused in the end, and then at once', async () => {
    const { leave, lane } = ledger()
    const records = await patientRecords(lane, 200)
    leave()
    await vi.waitFor(() => expect(records.attached).toBe(false))
    await expect(records.begin(begin).durable).rejects.toMatchObject({ reason: 'audit_unavailable' })
    await vi.waitFor(() => expect(records.available).toBe(false))
    expect(() => records.begin(begin)).toThrow(/could not be recorded/)
    records.close()
  })

  test('one that is there and can not write is not waited for', async () => {
    const { state, lane } = ledger()
    const records = await patientRecords(lane, 60_000)
    state.full = true
    await expect(records.begin(begin).durable).rejects.toMatchObject({ reason: 'audit_unavailable' })
    records.close()
  })
})

describe('where answers may go out without a record', () => {
  test('a request is answered while the ledger is away, and told of', async () => {
    const { state, lane } = ledger()
    state.away = true
    const told: RequestUnrecorded[] = []
    const records = createRecords({ audit: lane, instance: 'g', endTimeoutMs: 50, log: { debug() {}, info() {}, warn() {}, error() {} }, onUnrecorded: (one) => told.push(one), startMs: 20 })
    expect(records.attached).toBe(false)
    // At the start the ledger is only late.
    expect(records.available).toBe(false)
    expect(() => records.begin(begin)).toThrow(/could not be recorded/)
    await vi.waitFor(() => expect(records.available).toBe(true))
    const record = records.begin(begin)
    expect(await record.durable).toBeUndefined()
    expect(told).toEqual([])
    await record.end(end)
    const { requestId, team, keyId, model, endpoint } = begin
    expect(told).toMatchObject([{ requestId, team, keyId, model, endpoint, instance: 'g', outcome: Outcome.COMPLETED, inputTokens: 1, outputTokens: 1 }])
    records.close()
  })

  test('of one whose begin or end failed the ledger decides, when it is back', async () => {
    const { state, lane } = ledger()
    const told: RequestUnrecorded[] = []
    const records = await attachedRecords(lane, (one) => told.push(one))
    state.full = true
    const lost = records.begin(begin)
    expect(await lost.durable).toBeUndefined()
    await lost.end(end)
    state.full = false
    await vi.waitFor(() => expect(told.map(({ requestId }) => requestId)).toEqual(['r-1']), 5000)
    const kept = records.begin({ ...begin, requestId: 'r-2' })
    expect(await kept.durable).toBe(7)
    state.full = true
    await kept.end(end)
    state.full = false
    await vi.waitFor(() => expect(state.ended).toEqual(['r-2']), 5000)
    expect(told).toHaveLength(1)
    records.close()
  })
})

test('an end that the ledger does not take stands in the way of no other', async () => {
  const { state, lane } = ledger()
  const records = await attachedRecords(lane)
  const [bad, good] = ['bad', 'good'].map((requestId) => records.begin({ ...begin, requestId }))
  await Promise.all([bad?.durable, good?.durable])
  const unary = lane.unary.bind(lane)
  lane.unary = (method, request, options) => (options.requestId === 'bad' && !state.full ? Promise.reject(new ServiceError('INVALID_ARGUMENT', 'invalid_record', 'No.')) : unary(method, request, options))
  state.full = true
  await Promise.all([bad, good].map((record) => expect(record?.end(end)).rejects.toMatchObject({ reason: 'audit_unavailable' })))
  state.full = false
  await vi.waitFor(() => expect(state.ended).toEqual(['good']), 5000)
  records.close()
})

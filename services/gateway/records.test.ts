import { expect, test, vi } from 'vitest'
import { AuditService, type BeginRequest, type EndRequest, Outcome } from '../../proto/gen/intramuros/v1/audit.ts'
import { ServiceError } from '../shared/errors.ts'
import type { LaneClient } from '../shared/rpc/lane-client.ts'
import { createRecords } from './records.ts'

const begin: Omit<BeginRequest, 'instance'> = { requestId: 'r-1', team: 't', keyId: 'k', model: 'm', endpoint: 'e', stream: false, requestBytes: 1 }
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
}

/** A ledger that is attached, and whose disk is full as long as `full` is true. */
function ledger() {
  const state = { full: false, ended: [] as string[] }
  const lane = {
    address: 'test',
    up: true,
    async unary(method: unknown, request: { requestId: string }) {
      if (state.full) throw new ServiceError('UNAVAILABLE', 'audit_unavailable', 'Full.')
      if (method === AuditService.end) state.ended.push(request.requestId)
      return { index: 0n }
    },
    async *stream(_method: unknown, _request: unknown, { signal }: { signal: AbortSignal }) {
      yield {}
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
    },
    close() {},
  }
  return { state, lane: lane as unknown as LaneClient }
}

async function attachedRecords(lane: LaneClient) {
  const records = createRecords({ audit: lane, instance: 'g', endTimeoutMs: 50, log: { debug() {}, info() {}, warn() {}, error() {} } })
  await vi.waitFor(() => expect(records.available).toBe(true))
  return records
}

test('an end that could not be written is written when the disk has room again, though the ledger was there all the time', async () => {
  const { state, lane } = ledger()
  const records = await attachedRecords(lane)
  const record = records.begin(begin)
  await record.durable
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
  state.full = false
  await vi.waitFor(() => expect(state.ended).toEqual(['r-1']), 5000)
  records.close()
})

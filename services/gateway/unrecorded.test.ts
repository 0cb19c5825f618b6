import { expect, test } from 'vitest'
import { Outcome, type RecordRequest } from '../../proto/gen/intramuros/v1/audit.ts'
import { ServiceError } from '../shared/errors.ts'
import type { LaneClient } from '../shared/rpc/lane-client.ts'
import { createUnrecorded } from './unrecorded.ts'

const quiet = (): void => undefined
const silent = { debug: quiet, info: quiet, warn: quiet, error: quiet }

function request(n: number) {
  return { requestId: `r${n}`, instance: 'gateway', team: 'law', keyId: 'key', model: 'small', endpoint: 'POST /v1/chat/completions', beganAt: `2026-11-01T00:00:0${n}.000Z`, outcome: Outcome.COMPLETED, inputTokens: 1, outputTokens: 1 }
}

test('all are counted, also those that could not be kept; each once, however often it has to be told', async () => {
  let attached = false
  let fail: 'untold' | undefined
  const told: RecordRequest[] = []
  const kept: unknown[] = []
  const audit: Pick<LaneClient, 'unary'> = {
    unary(_, message) {
      told.push(message as RecordRequest)
      return fail === undefined ? Promise.resolve({} as never) : Promise.reject(new ServiceError('UNAVAILABLE', 'peer_lost', 'gone'))
    },
  }
  // It keeps two.
  const unrecorded = createUnrecorded({ audit, events: { add: (event) => void (kept.length < 2 && kept.push(event)) }, attached: () => attached, log: silent, retryMs: 5 })
  for (const n of [2, 1, 3]) unrecorded.note(request(n))
  await unrecorded.flush()
  expect([kept.length, told.length]).toEqual([2, 0])
  attached = true
  fail = 'untold'
  await expect.poll(() => told.length).toBeGreaterThan(2)
  unrecorded.note(request(4))
  fail = undefined
  await expect.poll(() => new Set(told.map(({ id }) => id)).size).toBe(2)
  const last = new Map(told.map(({ id, event }) => [id, event]))
  expect([...last.values()]).toEqual([
    { $case: 'gap', value: { from: request(1).beganAt, unrecorded: 3 } },
    { $case: 'gap', value: { from: request(4).beganAt, unrecorded: 1 } },
  ])
  unrecorded.close()
})

import { expect, test, vi } from 'vitest'
import type { RecordRequest } from '../../proto/gen/intramuros/v1/audit.ts'
import { ServiceError } from '../shared/errors.ts'
import type { LaneClient } from '../shared/rpc/lane-client.ts'
import { type AuditEvent, createEvents } from './events.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }

/** A ledger that is away, or takes everything once; it may do so and not say so. */
function ledger() {
  const state = { away: false, silent: 0, refuse: '', recorded: new Map<string, AuditEvent | undefined>() }
  const audit = {
    async unary(_method: unknown, request: RecordRequest) {
      await Promise.resolve()
      if (state.away) throw new ServiceError('UNAVAILABLE', 'audit_unavailable', 'Away.')
      if (request.event?.$case === 'requestRefused' && request.event.value.team === state.refuse) throw new ServiceError('INVALID_ARGUMENT', 'invalid_record', 'No.')
      state.recorded.set(request.id, request.event)
      if (state.silent-- > 0) throw new ServiceError('DEADLINE_EXCEEDED', 'deadline_exceeded', 'Slow.')
      return { index: 0n }
    },
  } as unknown as Pick<LaneClient, 'unary'>
  return { state, audit }
}

function event(team: string): AuditEvent {
  return { $case: 'requestRefused', value: { team, keyId: '', source: '', endpoint: '', reason: 'queue_full', instance: 'g', count: 1 } }
}

function teams(recorded: ReadonlyMap<string, AuditEvent | undefined>): string[] {
  return [...recorded.values()].map((one) => (one?.$case === 'requestRefused' ? one.value.team : ''))
}

test('events arrive in their order once the ledger is there, and one whose answer was lost only once', async () => {
  const { state, audit } = ledger()
  const events = createEvents({ audit, log: logger, onDropped: () => expect.unreachable(), retryMs: 5 })
  state.away = true
  for (const team of ['a', 'b', 'c']) events.add(event(team))
  await events.flush(30)
  expect(state.recorded.size).toBe(0)
  state.away = false
  state.silent = 1
  events.add(event('d'))
  await events.flush(5000)
  expect(teams(state.recorded)).toEqual(['a', 'b', 'c', 'd'])
  // The timers of the tries that failed have nothing to do now; what comes behind them is delivered all the same.
  await new Promise((resolve) => setTimeout(resolve, 20))
  events.add(event('e'))
  await vi.waitFor(() => expect(teams(state.recorded)).toContain('e'))
  events.close()
})

test('what is too much is dropped and told, and what the ledger does not take holds back nothing', async () => {
  const { state, audit } = ledger()
  const dropped: AuditEvent[] = []
  const events = createEvents({ audit, log: logger, onDropped: (one) => dropped.push(one), maxWaiting: 3, retryMs: 5 })
  state.away = true
  for (const team of ['a', 'bad', 'c', 'd']) events.add(event(team))
  expect(dropped).toEqual([event('d')])
  state.away = false
  state.refuse = 'bad'
  await events.flush(5000)
  expect(teams(state.recorded)).toEqual(['a', 'c'])
  expect(dropped).toEqual([event('d'), event('bad')])
  events.close()
})

import { expect, test } from 'vitest'
import { TokenizerService } from '../../../proto/gen/intramuros/v1/tokenizer.ts'
import { ServiceError } from '../../shared/errors.ts'
import type { LaneClient } from '../../shared/rpc/lane-client.ts'
import { createLaneSet, type LaneSet } from './lane-set.ts'

interface ScriptedLane {
  address: string
  up: boolean
  closed: boolean
  /** What a call ends with; calls wait while it is unset. */
  answer: ((end: { version: string } | ServiceError) => void)[]
}

/** Lanes that answer when they are told to: what is at stake is where a call goes. */
function scripted(calls: 'spread' | 'one', addresses: string[]): { set: LaneSet; lanes: Map<string, ScriptedLane> } {
  const lanes = new Map<string, ScriptedLane>()
  const set = createLaneSet({
    peer: 'tokenizer',
    calls,
    addresses,
    connect(address) {
      const lane: ScriptedLane = { address, up: true, closed: false, answer: [] }
      lanes.set(address, lane)
      return {
        address,
        get up() {
          return lane.up
        },
        unary: () =>
          new Promise((resolve, reject) => lane.answer.push((end) => (end instanceof ServiceError ? reject(end) : resolve(end)))),
        close() {
          lane.closed = true
          for (const end of lane.answer) end(lost)
        },
      } as unknown as LaneClient
    },
  })
  return { set, lanes }
}

const lost = new ServiceError('UNAVAILABLE', 'peer_lost', 'It is gone.')
const options = { requestId: 'r', signal: new AbortController().signal }
const ask = (set: LaneSet): Promise<unknown> => set.unary(TokenizerService.describe, {}, options)
const waiting = (lanes: Map<string, ScriptedLane>): Record<string, number> => Object.fromEntries([...lanes].map(([address, { answer }]) => [address, answer.length]))

test('calls go to the replica with the fewest', async () => {
  const { set, lanes } = scripted('spread', ['a', 'b', 'c'])
  const all = Array.from({ length: 6 }, () => ask(set))
  expect(waiting(lanes)).toEqual({ a: 2, b: 2, c: 2 })
  for (const { answer } of lanes.values()) for (const end of answer) end({ version: '1' })
  await Promise.all(all)
})

test('a call that is lost goes to another replica, and fails with the last once all have lost it', async () => {
  const { set, lanes } = scripted('spread', ['a', 'b'])
  const kept = ask(set)
  lanes.get('a')?.answer[0]?.(lost)
  await expect.poll(() => lanes.get('b')?.answer.length).toBe(1)
  lanes.get('b')?.answer[0]?.({ version: '1' })
  await expect(kept).resolves.toEqual({ version: '1' })
  const gone = ask(set)
  lanes.get('a')?.answer[1]?.(lost)
  await expect.poll(() => lanes.get('b')?.answer.length).toBe(2)
  lanes.get('b')?.answer[1]?.(lost)
  await expect(gone).rejects.toMatchObject({ reason: 'peer_lost' })
})

test('what is refused for its own sake is not asked again', async () => {
  const { set, lanes } = scripted('spread', ['a', 'b'])
  const refused = ask(set)
  lanes.get('a')?.answer[0]?.(new ServiceError('INVALID_ARGUMENT', 'too_long', 'It is too long.'))
  await expect(refused).rejects.toMatchObject({ reason: 'too_long' })
  expect(waiting(lanes)).toEqual({ a: 1, b: 0 })
})

test('a replica that is no longer one gets no new calls, and is closed when it has ended its own', async () => {
  const { set, lanes } = scripted('spread', ['a'])
  const old = ask(set)
  set.set(['b'])
  expect(lanes.get('a')?.closed).toBe(false)
  const next = ask(set)
  expect(waiting(lanes)).toEqual({ a: 1, b: 1 })
  lanes.get('a')?.answer[0]?.({ version: 'old' })
  await expect(old).resolves.toEqual({ version: 'old' })
  expect(lanes.get('a')?.closed).toBe(true)
  lanes.get('b')?.answer[0]?.({ version: 'new' })
  await expect(next).resolves.toEqual({ version: 'new' })
  set.set([])
  expect(set.up).toBe(false)
  await expect(ask(set)).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'peer_unreachable' })
})

test('a replica that comes back before it was closed is used again', async () => {
  const { set, lanes } = scripted('spread', ['a'])
  const old = ask(set)
  set.set([])
  set.set(['a'])
  expect(set.up).toBe(true)
  lanes.get('a')?.answer[0]?.({ version: '1' })
  await old
  expect(lanes.get('a')?.closed).toBe(false)
})

test('where one counts at a time, all calls go to the first that is up, and one that is gone loses its own at once', async () => {
  const { set, lanes } = scripted('one', ['a', 'b'])
  const calls = [ask(set), ask(set)]
  expect(waiting(lanes)).toEqual({ a: 2, b: 0 })
  set.set(['b'])
  expect(lanes.get('a')?.closed).toBe(true)
  await Promise.all(calls.map((call) => expect(call).rejects.toMatchObject({ reason: 'peer_lost' })))
  const next = ask(set)
  expect(waiting(lanes)).toMatchObject({ b: 1 })
  lanes.get('b')?.answer[0]?.({ version: '1' })
  await next
})

test('where one counts at a time, another that answers too does not drive it out; when it is lost, that takes its place', async () => {
  const { set, lanes } = scripted('one', ['a', 'b'])
  const [a, b] = [lanes.get('a'), lanes.get('b')]
  if (a === undefined || b === undefined) return expect.unreachable()
  a.up = false
  const first = ask(set)
  expect(waiting(lanes)).toEqual({ a: 0, b: 1 })
  a.up = true
  const second = ask(set)
  expect(waiting(lanes)).toEqual({ a: 0, b: 2 })
  b.up = false
  const third = ask(set)
  expect(waiting(lanes)).toEqual({ a: 1, b: 2 })
  for (const { answer } of [a, b]) for (const end of answer) end({ version: '1' })
  await Promise.all([first, second, third])
})

import { expect, test } from 'vitest'
import type { LaneClient } from '../shared/rpc/lane-client.ts'
import { connectOneOf } from './connect-one-of.ts'

interface Fake {
  address: string
  closed: boolean
  set(up: boolean): void
}

function peers(): { connect: Parameters<typeof connectOneOf>[1]; made: Fake[]; at(address: string): Fake } {
  const made: Fake[] = []
  return {
    made,
    at: (address) => made.findLast((one) => one.address === address && !one.closed) ?? expect.fail(`no lane to ${address}`),
    connect(address, onStateChange): LaneClient {
      let up = false
      const fake: Fake = {
        address,
        closed: false,
        set(now) {
          up = now
          onStateChange(now)
        },
      }
      made.push(fake)
      return {
        address,
        get up() {
          return up
        },
        unary: () => Promise.reject(new Error(address)),
        stream: () => {
          throw new Error(address)
        },
        close() {
          fake.closed = true
          if (up) fake.set(false)
        },
      }
    },
  }
}

test('keeps to the one that answers, and closes the others', () => {
  const { connect, made, at } = peers()
  const lane = connectOneOf(['a', 'b', 'b'], connect)
  expect([made.length, lane.up]).toEqual([2, false])
  at('b').set(true)
  expect([lane.up, lane.address]).toEqual([true, 'b'])
  expect(made.filter(({ closed }) => !closed).map(({ address }) => address)).toEqual(['b'])
})

test('when that is lost, all are tried, and the next that answers is taken', () => {
  const { connect, made, at } = peers()
  const lane = connectOneOf(['a', 'b'], connect)
  at('a').set(true)
  at('a').set(false)
  expect(lane.up).toBe(false)
  at('b').set(true)
  expect([lane.up, lane.address]).toEqual([true, 'b'])
  expect(made.filter(({ closed }) => !closed)).toHaveLength(1)
  // Two that answer at once do not drive each other out.
  at('b').set(false)
  const [first, second] = [at('a'), at('b')]
  second.set(true)
  first.set(true)
  expect([lane.address, first.closed]).toEqual(['b', true])
})

test('with one address it is a lane to that, and it closes', async () => {
  const { connect, made, at } = peers()
  const lane = connectOneOf(['a'], connect)
  at('a').set(true)
  at('a').set(false)
  at('a').set(true)
  expect([made.length, lane.up]).toEqual([1, true])
  await expect(lane.unary({} as never, {}, { requestId: '', signal: new AbortController().signal })).rejects.toThrow('a')
  lane.close()
  expect(made.every(({ closed }) => closed)).toBe(true)
})

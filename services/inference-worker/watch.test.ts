import { expect, test } from 'vitest'
import { createScriptedEngine } from '../../test/support/scripted-engine.ts'
import { prefixHashes } from '../shared/prefix-hashes.ts'
import { createWorkerLoad } from './load.ts'
import { createSlots } from './slots.ts'
import { loadOf, watch } from './watch.ts'

test('a watch that has ended listens no more', async () => {
  const slots = createSlots({ count: 1, spare: 0, maxQueued: 1, queueTimeoutMs: 1000, leastKept: 1, keepable: () => 0, now: () => 0 })
  let listeners = 0
  const { subscribe } = slots
  slots.subscribe = (listener) => {
    listeners += 1
    const unsubscribe = subscribe(listener)
    return () => {
      listeners -= 1
      unsubscribe()
    }
  }
  const states = watch({ engine: createScriptedEngine(), slots, load: createWorkerLoad() }, new AbortController().signal)
  await states.next()
  expect(listeners).toBe(1)
  await states.return()
  expect(listeners).toBe(0)
})

test('the load of a server behind the worker is part of its own', () => {
  const upstream = (load: { running: number; waiting: number } | undefined) => ({ upstream: { up: true, load, subscribe: () => () => undefined } })
  const slots = { running: 5, queued: 2 }
  expect(loadOf({}, slots)).toEqual(slots)
  expect(loadOf(upstream(undefined), slots)).toEqual(slots)
  expect(loadOf(upstream({ running: 5, waiting: 0 }), slots)).toEqual(slots)
  // Of the five that were sent there, three wait there.
  expect(loadOf(upstream({ running: 2, waiting: 3 }), slots)).toEqual({ running: 2, queued: 5 })
  // Others have sent it requests, too.
  expect(loadOf(upstream({ running: 9, waiting: 0 }), slots)).toEqual({ running: 9, queued: 2 })
  expect(loadOf(upstream({ running: 1, waiting: 7 }), slots)).toEqual({ running: 1, queued: 9 })
})

test('tells what the slots hold as changes, salted by team', async () => {
  const slots = createSlots({ count: 2, spare: 0, maxQueued: 1, queueTimeoutMs: 1000, leastKept: 1, keepable: (_index, count) => count, now: () => 0 })
  const forever = new AbortController().signal
  const states = watch({ engine: createScriptedEngine(), slots, load: createWorkerLoad() }, forever)
  const next = async () => (await states.next()).value?.prefixes
  const tokens = Array.from({ length: 200 }, (_, index) => index)
  expect(await next()).toEqual({ reset: true, added: [], removed: [] })
  const slot = await slots.acquire({ team: 'a', weight: 1, batch: false, tokens }, forever)
  slot.release(tokens)
  const hashes = prefixHashes('a', tokens)
  expect(hashes).toHaveLength(3)
  expect(await next()).toEqual({ reset: false, added: hashes, removed: [] })
  const longer = await slots.acquire({ team: 'a', weight: 1, batch: false, tokens: [...tokens, 5] }, forever)
  expect(longer.keep).toBe(200)
  longer.release(tokens.slice(0, 130))
  expect(await next()).toEqual({ reset: false, added: [], removed: hashes.slice(2) })
  expect(prefixHashes('b', tokens).some((hash) => hashes.includes(hash))).toBe(false)
  await states.return()
})

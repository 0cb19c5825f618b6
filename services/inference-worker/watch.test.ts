import { expect, test } from 'vitest'
import { createScriptedEngine } from '../../test/support/scripted-engine.ts'
import { createSlots } from './slots.ts'
import { loadOf, watch } from './watch.ts'

test('a watch that has ended listens no more', async () => {
  const slots = createSlots({ count: 1, maxQueued: 1, now: () => 0 })
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
  const states = watch(createScriptedEngine(), slots, new AbortController().signal)
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

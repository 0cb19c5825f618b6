import { expect, test } from 'vitest'
import { createScriptedEngine } from '../../test/support/scripted-engine.ts'
import { createSlots } from './slots.ts'
import { watch } from './watch.ts'

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

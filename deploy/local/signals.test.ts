import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { onStopSignals } from './signals.ts'

let heard: string[]
let stop: () => void
beforeEach(() => {
  heard = []
  vi.useFakeTimers({ toFake: ['performance'] })
  stop = onStopSignals({ drain: (signal) => heard.push(`drain ${signal}`), now: (signal) => heard.push(`now ${signal}`) })
})
afterEach(() => {
  stop()
  vi.useRealTimers()
})

it('takes echoes of one key press for one', () => {
  process.emit('SIGINT', 'SIGINT')
  vi.advanceTimersByTime(200)
  process.emit('SIGINT', 'SIGINT')
  vi.advanceTimersByTime(200)
  process.emit('SIGTERM', 'SIGTERM')
  expect(heard).toEqual(['drain SIGINT'])
})

it('ends at once on a second one', () => {
  process.emit('SIGTERM', 'SIGTERM')
  vi.advanceTimersByTime(301)
  process.emit('SIGINT', 'SIGINT')
  expect(heard).toEqual(['drain SIGTERM', 'now SIGINT'])
})

it('drains when the terminal is closed, also after another signal', () => {
  process.emit('SIGINT', 'SIGINT')
  vi.advanceTimersByTime(1000)
  process.emit('SIGHUP', 'SIGHUP')
  expect(heard).toEqual(['drain SIGINT'])
})

import { expect, test } from 'vitest'
import { isReady, type Readiness } from './readiness.ts'

const good: Readiness = { draining: false, recording: true, directoryKnown: true, tokenizerUp: true, models: ['a', 'b'], serves: () => true, inCluster: false }
const onlyA = (model: string): boolean => model === 'a'

test('on one machine every model needs a worker', () => {
  expect(isReady(good)).toBe(true)
  expect(isReady({ ...good, serves: onlyA })).toBe(false)
})

test('in a cluster a pool without workers does not take the other models away', () => {
  expect(isReady({ ...good, inCluster: true, serves: onlyA })).toBe(true)
  expect(isReady({ ...good, inCluster: true, serves: () => false })).toBe(true)
})

test.each([{ draining: true }, { recording: false }, { directoryKnown: false }, { tokenizerUp: false }])('%o is not ready, wherever', (bad) => {
  expect(isReady({ ...good, ...bad })).toBe(false)
  expect(isReady({ ...good, ...bad, inCluster: true })).toBe(false)
})

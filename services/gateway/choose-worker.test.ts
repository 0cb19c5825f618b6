import fc from 'fast-check'
import { expect, test } from 'vitest'
import { prefixHashes } from '../shared/prefix-hashes.ts'
import { type Candidate, chooseWorker } from './choose-worker.ts'

const tokens = Array.from({ length: 300 }, (_, index) => index)
const hashes = prefixHashes('a', tokens)
const wanted = { team: 'a', tokens, cacheKey: '' }
const worker = (address: string, requests: number, blocks = 0): Candidate => ({ address, slots: 4, requests, prefixes: new Set(hashes.slice(0, blocks)) })
const chosen = (...candidates: Candidate[]): string | undefined => chooseWorker(candidates, wanted)?.address

test('the one that holds the longest beginning is chosen', () => {
  expect(chosen(worker('cold', 0), worker('warm', 1, 2), worker('warmer', 1, 4))).toBe('warmer')
  expect(chosen(worker('cold', 0), worker('warm', 0, 1))).toBe('warm')
})

test('unless it is too busy', () => {
  expect(chosen(worker('cold', 0), worker('warm', 9, 4))).toBe('cold')
  expect(chosen(worker('cold', 8), worker('warm', 9, 4))).toBe('warm')
})

test('what another team has left there counts for nothing', () => {
  expect(chooseWorker([worker('cold', 0), worker('warm', 1, 4)], { ...wanted, team: 'b' })?.address).toBe('cold')
})

test('a block in the middle without those before it is no beginning', () => {
  const middle = { ...worker('middle', 0), prefixes: new Set(hashes.slice(1)) }
  expect(chosen(middle, worker('warm', 1, 1))).toBe('warm')
})

test('without anything held, the least busy for its size', () => {
  expect(chosen(worker('a', 3), worker('b', 2), worker('c', 4))).toBe('b')
  expect(chosen(worker('small', 2), { ...worker('large', 3), slots: 8 })).toBe('large')
})

test('of several, one is chosen, and it is never one that is overloaded while another is free', () => {
  const candidate = fc.record({ requests: fc.nat(20), blocks: fc.nat(4), slots: fc.integer({ min: 1, max: 8 }) })
  fc.assert(
    fc.property(fc.array(candidate, { minLength: 1, maxLength: 6 }), fc.string(), (all, cacheKey) => {
      const candidates = all.map(({ requests, blocks, slots }, index): Candidate => ({ ...worker(`w${index}`, requests, blocks), slots }))
      const choice = chooseWorker(candidates, { ...wanted, cacheKey })
      expect(candidates).toContain(choice)
      const isFree = ({ requests, slots }: Candidate): boolean => requests < slots
      const mean = candidates.reduce((sum, { requests }) => sum + requests, 0) / candidates.reduce((sum, { slots }) => sum + slots, 0)
      if (choice !== undefined && candidates.some(isFree)) expect(isFree(choice) || choice.requests / choice.slots <= 1.25 * mean).toBe(true)
    }),
  )
})

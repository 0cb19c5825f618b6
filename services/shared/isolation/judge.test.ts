import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Circumstances, isWallsRefusal, judge, showsEnforcement } from './judge.ts'
import { type Result, results } from './observation.ts'

const result = fc.constantFrom<Result>(...results)
const circumstances: fc.Arbitrary<Circumstances> = fc.record({ must: fc.constantFrom('fail', 'work'), listening: fc.constantFrom('proven', 'likely', 'unknown'), wallsRefuse: fc.boolean() })

test('an attempt that must fail is violated by whatever was reached, in any circumstances', () => {
  fc.assert(fc.property(circumstances, (of) => {
    expect(judge({ result: 'reached' }, { ...of, must: 'fail' })).toBe('violated')
  }))
})

test('one that must work holds only by what was reached, and is never a violation', () => {
  fc.assert(fc.property(result, circumstances, (one, of) => {
    expect(judge({ result: one }, { ...of, must: 'work' })).toBe(one === 'reached' ? 'held' : 'broken')
  }))
})

test('what must fail is never broken, and what was not tried never holds', () => {
  fc.assert(
    fc.property(result, circumstances, (one, of) => {
      const verdict = judge({ result: one }, { ...of, must: 'fail' })
      expect(verdict).not.toBe('broken')
      if (one === 'untried' || one === 'no-route') expect(verdict).toBe('untried')
    }),
  )
})

test('a refusal is the word of a policy only where somebody listens, who would not have refused', () => {
  const verdict = (listening: Circumstances['listening'], wallsRefuse: boolean): string => judge({ result: 'refused' }, { must: 'fail', listening, wallsRefuse })
  expect([verdict('proven', false), verdict('likely', true), verdict('unknown', false), verdict('unknown', true)]).toEqual(['held', 'held', 'violated', 'untried'])
})

test('only what listens, and could not be reached, shows that a policy is enforced', () => {
  fc.assert(
    fc.property(result, circumstances, (one, of) => {
      const verdict = judge({ result: one }, of)
      const shows = of.must === 'fail' && of.listening === 'proven' && ['refused', 'rejected', 'silent'].includes(one)
      expect(showsEnforcement(verdict, of)).toBe(shows)
      expect(isWallsRefusal(one, of)).toBe(shows && one === 'refused')
    }),
  )
})

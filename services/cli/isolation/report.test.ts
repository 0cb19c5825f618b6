import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Result, results } from '../../shared/isolation/observation.ts'
import { parseTarget } from '../../shared/isolation/target.ts'
import { components, type Component } from './components.ts'
import { kinds, type Planned } from './plan.ts'
import { countOf, encodeReport, makeReport, parseReport, problemCounts, type Report, type Tried } from './report.ts'
import { describeReport, encodeTold, findTold } from './told.ts'

const head = { id: 'id', startedAt: '2026-11-23T10:00:00.000Z', endedAt: '2026-11-23T10:00:05.000Z', software: '0.1.0', namespace: 'walls', collector: 'collector-x', failures: [] }

function plan(text: string, must: Planned['must'] = 'fail', listening: Planned['listening'] = 'unknown'): Planned {
  const target = parseTarget(text)
  if (target === undefined) throw new Error(text)
  return { kind: must === 'work' ? 'peer' : 'component', target, must, listening }
}

function tried(component: Component, ...attempts: [Planned, Result][]): Tried {
  return { component, pod: `${component}-x`, node: '', planned: attempts.map(([planned]) => planned), observations: attempts.map(([, result]) => ({ result, code: '', ms: 1 })) }
}

function report(expected: Component[], ...all: Tried[]): Report {
  return makeReport({ ...head, expected, tried: all })
}

const grpc = 'tcp:10.0.0.2:50051'

test('what the gateway reaches surely listens, so that it shows the walls of others', () => {
  const gateway = tried('gateway', [plan(grpc, 'work'), 'reached'], [plan('tcp:10.0.0.2:9462', 'fail', 'proven'), 'silent'])
  expect(report(['gateway', 'audit'], gateway, tried('audit', [plan(grpc), 'silent']))).toMatchObject({ outcome: 'held', policies: 'enforced', problems: [] })
  expect(report(['gateway', 'audit'], gateway, tried('audit', [plan(grpc), 'refused']))).toMatchObject({ outcome: 'held' })
  expect(report(['gateway', 'audit'], gateway, tried('audit', [plan(grpc), 'reached']))).toMatchObject({ outcome: 'violated', policies: 'partly' })
  // Nobody reached it: that it is silent shows nothing.
  expect(report(['audit'], tried('audit', [plan(grpc), 'silent']))).toMatchObject({ outcome: 'unproven', policies: 'unknown', problems: [expect.stringContaining('nothing shows that policies hold it back')] })
})

test('nothing enforced at all is told as that', () => {
  const found = report(['gateway', 'audit'], tried('gateway', [plan(grpc, 'work'), 'reached'], [plan('tcp:10.0.0.2:9462', 'fail', 'proven'), 'reached']), tried('audit', [plan(grpc), 'reached']))
  expect(found).toMatchObject({ outcome: 'violated', policies: 'not-enforced' })
  expect(found.problems[0]).toContain('No network policy is enforced at all')
})

test('walls that refuse leave a refusal elsewhere open to doubt, and a host that refuses does not', () => {
  const ofWalls = (result: Result): string[] =>
    report(['audit'], tried('audit', [plan('tcp:10.0.0.2:9462', 'fail', 'proven'), result], [plan('tcp:10.0.0.2:50052'), 'refused'])).probes.flatMap(({ attempts }) => attempts.map(({ verdict }) => verdict))
  expect(ofWalls('refused')).toEqual(['held', 'untried'])
  expect(ofWalls('silent')).toEqual(['held', 'violated'])
})

test('a missing answer, a missing component and what is broken leave it unproven', () => {
  const held: [Planned, Result] = [plan('tcp:10.0.0.2:9462', 'fail', 'proven'), 'silent']
  expect(report(['gateway', 'audit'], tried('gateway', held))).toMatchObject({ outcome: 'unproven', problems: ['audit: nothing was tried from its pods.'] })
  expect(report(['gateway'], tried('gateway', held, [plan(grpc, 'work'), 'silent']))).toMatchObject({ outcome: 'unproven', problems: [expect.stringContaining('could not be reached (silent), and must be')] })
  expect(report(['gateway'], { ...tried('gateway', held), observations: [] }).probes[0]?.attempts[0]).toMatchObject({ result: 'untried', code: 'no_answer', verdict: 'untried' })
  expect(makeReport({ ...head, failures: ['audit (x): the probe could not be asked: why'], expected: ['gateway'], tried: [tried('gateway', held)] })).toMatchObject({ outcome: 'unproven', problems: ['audit (x): the probe could not be asked: why'] })
})

const arbitraryTried: fc.Arbitrary<Tried> = fc
  .tuple(
    fc.constantFrom(...components),
    fc.array(
      fc.tuple(
        fc.record({
          kind: fc.constantFrom(...kinds),
          target: fc.record({ method: fc.constantFrom('tcp' as const, 'dns' as const), host: fc.constantFrom('10.0.0.1', '10.0.0.2'), port: fc.integer({ min: 1, max: 3 }) }),
          must: fc.constantFrom('fail' as const, 'work' as const),
          listening: fc.constantFrom('proven' as const, 'likely' as const, 'unknown' as const),
        }),
        fc.constantFrom<Result>(...results),
      ),
      { maxLength: 8 },
    ),
  )
  .map(([component, attempts]) => tried(component, ...attempts))

test('whatever was tried: the outcome follows from the verdicts, and a report is read as it was written', () => {
  fc.assert(
    fc.property(fc.array(arbitraryTried, { maxLength: 5 }), (all) => {
      const found = report([...components], ...all)
      const gotOut = all.some(({ planned, observations }) => planned.some(({ must }, place) => must === 'fail' && observations[place]?.result === 'reached'))
      if (gotOut) expect(found.outcome).toBe('violated')
      if (found.outcome === 'held') {
        expect(countOf(found, 'violated') + countOf(found, 'broken')).toBe(0)
        expect(new Set(found.probes.map(({ component }) => component)).size).toBe(components.length)
        expect(found.policies).toBe('enforced')
      }
      if (found.outcome !== 'held') expect(found.problems.length).toBeGreaterThan(0)
      expect(problemCounts(found).reduce((sum, { count }) => sum + count, 0)).toBe(countOf(found, 'violated') + countOf(found, 'broken'))
      const text = encodeReport(found)
      expect(parseReport(text)).toEqual(found)
      expect(findTold(`noise\n{"no": "report"}\n${encodeTold({ report: text, receipt: 'r' })}{broken\n`)).toEqual({ told: { isolation: 1, report: text, receipt: 'r' }, report: found })
      expect(describeReport(found)).toContain(found.outcome === 'held' ? 'The walls hold' : found.outcome === 'violated' ? 'THE WALLS ARE OPEN' : 'could not be shown')
    }),
  )
})

test.each(['', 'null', '{}', '{"version":2}', '{"isolation":1,"report":"{}","receipt":""}'])('%j is no report', (text) => {
  expect(parseReport(text)).toBeUndefined()
  expect(findTold(text)).toBeUndefined()
})

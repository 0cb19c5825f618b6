import { createHash } from 'node:crypto'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { type Circumstances, isWallsRefusal, judge, showsEnforcement, verdicts } from '../../shared/isolation/judge.ts'
import { type Observation, results } from '../../shared/isolation/observation.ts'
import { formatTarget } from '../../shared/isolation/target.ts'
import { components, type Component } from './components.ts'
import { kinds, type Planned } from './plan.ts'

const attemptSchema = Type.Object({
  kind: Type.Enum([...kinds]),
  target: Type.String({ maxLength: 128 }),
  must: Type.Enum(['fail', 'work']),
  result: Type.Enum([...results]),
  code: Type.String({ maxLength: 64 }),
  ms: Type.Integer({ minimum: 0 }),
  verdict: Type.Enum([...verdicts]),
})

const reportSchema = Type.Object({
  /** Of this form. */
  version: Type.Literal(1),
  id: Type.String(),
  startedAt: Type.String(),
  endedAt: Type.String(),
  software: Type.String(),
  /** Namespace and pod of the collector. */
  namespace: Type.String(),
  collector: Type.String(),
  /** `held`: nothing got through; `violated`: something did; `unproven`: too little could be tried to say so. */
  outcome: Type.Enum(['held', 'violated', 'unproven']),
  /** Whether the network enforces policies, seen by those who tried what surely listens. */
  policies: Type.Enum(['enforced', 'partly', 'not-enforced', 'unknown']),
  /** In words, what is wrong; empty when nothing is. */
  problems: Type.Array(Type.String()),
  probes: Type.Array(Type.Object({ component: Type.Enum([...components]), pod: Type.String(), node: Type.String(), attempts: Type.Array(attemptSchema) })),
})

export type Report = Static<typeof reportSchema>
type Attempt = Static<typeof attemptSchema>
const check = Compile(reportSchema)

/** What one prober tried, and what came of it. */
export interface Tried {
  component: Component
  pod: string
  node: string
  planned: readonly Planned[]
  /** As many. */
  observations: readonly Observation[]
}

export interface ReportOptions extends Pick<Report, 'id' | 'startedAt' | 'endedAt' | 'software' | 'namespace' | 'collector'> {
  tried: readonly Tried[]
  /** Components that were to be tried from. */
  expected: readonly Component[]
  /** What kept probes from being asked, in words. */
  failures: readonly string[]
}

interface Judged {
  component: Component
  pod: string
  node: string
  attempts: Attempt[]
  /** Shown to be held back, or not, from something that surely listens. */
  heldBack: boolean
  gotThrough: boolean
}

/** The report: every attempt with its verdict, and what follows from all of them. */
export function makeReport({ tried, expected, failures, ...head }: ReportOptions): Report {
  const listens = new Set(tried.flatMap(({ planned, observations }) => planned.filter(({ must }, place) => must === 'work' && observations[place]?.result === 'reached').map(({ target }) => formatTarget(target))))
  const judged = tried.map((prober) => judgeProber(prober, listens))
  const attempts = judged.flatMap((prober) => prober.attempts)
  const missing = expected.filter((component) => !judged.some((prober) => prober.component === component))
  const unshown = judged.filter(({ heldBack, gotThrough }) => !heldBack && !gotThrough)
  const violated = attempts.some(({ verdict }) => verdict === 'violated')
  const unproven = failures.length > 0 || missing.length > 0 || unshown.length > 0 || attempts.some(({ verdict }) => verdict === 'broken')
  const policies = policiesOf(judged)
  const problems = [
    ...(policies === 'not-enforced' ? ['No network policy is enforced at all: every pod reached what surely listens. Most likely the network plugin of the cluster ignores NetworkPolicies.'] : []),
    ...judged.flatMap(problemsOf),
    ...failures,
    ...missing.map((component) => `${component}: nothing was tried from its pods.`),
    ...unshown.map(({ component, pod }) => `${component} (${pod}): nothing that surely listens was tried, so that nothing shows that policies hold it back.`),
  ]
  const probes = judged.map(({ component, pod, node, attempts: own }) => ({ component, pod, node, attempts: own }))
  return { version: 1, ...head, outcome: violated ? 'violated' : unproven ? 'unproven' : 'held', policies, problems, probes }
}

function judgeProber({ component, pod, node, planned, observations }: Tried, listens: ReadonlySet<string>): Judged {
  const known = planned.map((plan, place) => {
    const observation = observations[place] ?? { result: 'untried' as const, code: 'no_answer', ms: 0 }
    const listening = listens.has(formatTarget(plan.target)) ? ('proven' as const) : plan.listening
    return { ...plan, listening, observation }
  })
  const wallsRefuse = known.some((one) => isWallsRefusal(one.observation.result, one))
  const verdicts = known.map((one) => {
    const circumstances: Circumstances = { must: one.must, listening: one.listening, wallsRefuse }
    return { ...one, verdict: judge(one.observation, circumstances) }
  })
  return {
    component,
    pod,
    node,
    attempts: verdicts.map(({ kind, target, must, observation, verdict }) => ({ kind, target: formatTarget(target), must, result: observation.result, code: observation.code, ms: observation.ms, verdict })),
    heldBack: verdicts.some((one) => showsEnforcement(one.verdict, one)),
    gotThrough: verdicts.some(({ must, listening, verdict }) => must === 'fail' && listening === 'proven' && verdict === 'violated'),
  }
}

function policiesOf(judged: readonly Judged[]): Report['policies'] {
  const held = judged.some(({ heldBack }) => heldBack)
  const through = judged.some(({ gotThrough }) => gotThrough)
  if (held && through) return 'partly'
  return held ? 'enforced' : through ? 'not-enforced' : 'unknown'
}

function problemsOf({ component, pod, attempts }: Judged): string[] {
  return attempts.flatMap(({ kind, target, result, verdict }) => {
    if (verdict === 'violated') return [`${component} (${pod}): ${target} (${kind}) was ${result === 'refused' ? 'refused by somebody, so a packet got there' : 'reached'}, and must not be.`]
    return verdict === 'broken' ? [`${component} (${pod}): ${target} (${kind}) could not be reached (${result}), and must be.`] : []
  })
}

/** How often each kind of problem was met, the most frequent first. */
export function problemCounts({ probes }: Report): { component: Component; kind: string; verdict: 'violated' | 'broken'; count: number }[] {
  const counts = new Map<string, { component: Component; kind: string; verdict: 'violated' | 'broken'; count: number }>()
  for (const { component, attempts } of probes) {
    for (const { kind, verdict } of attempts) {
      if (verdict !== 'violated' && verdict !== 'broken') continue
      const key = `${component} ${kind} ${verdict}`
      const found = counts.get(key) ?? { component, kind, verdict, count: 0 }
      counts.set(key, { ...found, count: found.count + 1 })
    }
  }
  return [...counts.values()].toSorted((a, b) => b.count - a.count)
}

export function countOf({ probes }: Report, wanted?: Attempt['verdict']): number {
  return probes.flatMap(({ attempts }) => attempts).filter(({ verdict }) => wanted === undefined || verdict === wanted).length
}

/** The report's bytes, which its digest is of. */
export function encodeReport(report: Report): string {
  return `${JSON.stringify(report, undefined, 1)}\n`
}

/** SHA-256, hexadecimal. */
export function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** The report that a text is; undefined for what is none, or is of another version. */
export function parseReport(text: string): Report | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return check.Check(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** 0: held; 1: violated; 2: it could not be checked. */
export const exitStatusOfOutcome: Readonly<Record<Report['outcome'], number>> = { held: 0, violated: 1, unproven: 2 }

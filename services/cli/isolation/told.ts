import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { table } from '../commands/table.ts'
import { countOf, parseReport, type Report } from './report.ts'

/** What a collector writes to standard output, as one line: whoever reads its log has all that is kept of the check. */
const toldSchema = Type.Object({
  isolation: Type.Literal(1),
  /** Bytes of the report. */
  report: Type.String(),
  /** Receipt of the record in the ledger; empty where it could not be recorded. */
  receipt: Type.String(),
})
export type Told = Static<typeof toldSchema>
const check = Compile(toldSchema)

export function encodeTold(told: Omit<Told, 'isolation'>): string {
  return `${JSON.stringify({ isolation: 1, ...told })}\n`
}

/** The last check that a log tells of; undefined when there is none. Other lines are passed over. */
export function findTold(log: string): { told: Told; report: Report } | undefined {
  for (const line of log.split('\n').toReversed()) {
    if (!line.startsWith('{')) continue
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch {
      continue
    }
    const report = check.Check(value) ? parseReport(value.report) : undefined
    if (check.Check(value) && report !== undefined) return { told: value, report }
  }
  return undefined
}

const policiesText: Readonly<Record<Report['policies'], string>> = {
  enforced: 'Network policies are enforced: pods were held back from what surely listens.',
  partly: 'Network policies hold some pods back from what surely listens, and not others.',
  'not-enforced': 'Network policies are NOT ENFORCED.',
  unknown: 'Nothing shows whether network policies are enforced.',
}

const outcomeText: Readonly<Record<Report['outcome'], string>> = {
  held: 'The walls hold: nothing got through that must not, and all that must work does.',
  violated: 'THE WALLS ARE OPEN.',
  unproven: 'It could not be shown that the walls hold.',
}

/** Problems that are told one by one. */
const mostProblems = 40

/** The report for people: what was tried from where, then what is wrong, then the verdict. */
export function describeReport(report: Report): string {
  const rows = report.probes.flatMap(({ component, attempts }) =>
    [...new Set(attempts.map(({ kind }) => kind))].map((kind) => {
      const own = attempts.filter((attempt) => attempt.kind === kind)
      const counts = Object.entries(Object.groupBy(own, ({ result }) => result)).map(([result, of]) => `${of.length} ${result}`)
      const worst = (['violated', 'broken', 'untried', 'held'] as const).find((verdict) => own.some((attempt) => attempt.verdict === verdict)) ?? 'untried'
      const held = own.filter(({ verdict }) => verdict === 'held').length
      const verdict = worst === 'held' ? 'held' : worst === 'untried' && held > 0 ? `held, ${own.length - held} UNTRIED` : worst.toUpperCase()
      return [component, kind, own[0]?.must === 'work' ? 'works' : 'fails', String(own.length), counts.join(', '), verdict]
    }),
  )
  const more = report.problems.length - mostProblems
  const problems = `${report.problems.slice(0, mostProblems).map((problem) => `- ${problem}\n`).join('')}${more > 0 ? `- and ${more} more, in the report.\n` : ''}`
  const counts = `${countOf(report)} attempts: ${countOf(report, 'held')} as promised, ${countOf(report, 'violated')} violations, ${countOf(report, 'broken')} broken, ${countOf(report, 'untried')} untried.`
  return `${table(['from', 'to', 'must', 'tried', 'came of it', 'verdict'], rows, 'Nothing was tried.')}${problems === '' ? '' : `\n${problems}`}\n${counts}\n${untriedText(report)}${policiesText[report.policies]}\n${outcomeText[report.outcome]}\n`
}

/** Why something was not tried, where that is no fault of the walls. */
function untriedText({ probes }: Report): string {
  const untried = probes.flatMap(({ attempts }) => attempts).filter(({ verdict }) => verdict === 'untried')
  const noIpv6 = untried.filter(({ result, target }) => result === 'no-route' && target.includes('[')).length
  const noPing = untried.filter(({ code }) => code.startsWith('no_ping') || code.startsWith('ping_')).length
  return [
    noIpv6 === 0 ? '' : `Pods have no IPv6 here: ${noIpv6} attempts by it say nothing.\n`,
    noPing === 0 ? '' : `${noPing} pings could not be sent: they take the program ping, and the sysctl net.ipv4.ping_group_range.\n`,
  ].join('')
}

import type { Command } from 'commander'
import { UsageBy, type UsageRow } from '../../../proto/gen/intramuros/v1/audit_read.ts'
import { csvLine } from '../csv.ts'
import { costOf, type ModelPrice } from '../usage-cost.ts'
import { folderOption, type ReadingContext, withReader } from './audit-options.ts'
import { misused } from './context.ts'
import { table } from './table.ts'

export interface UsageContext extends ReadingContext {
  prices(): { readonly currency: string; readonly models: readonly ModelPrice[] }
  /** Milliseconds since 1970; default: the clock. */
  now?: () => number
}

interface Line {
  name: string
  requests: number
  refused: number
  inputTokens: number
  cachedTokens: number
  outputTokens: number
  workerSeconds: number
  /** Undefined where prices are set, but not for all of its models. */
  cost?: number | undefined
}

const kinds = ['team', 'model', 'person'] as const
type Kind = (typeof kinds)[number]

/** Adds `usage` to the program. */
export function registerUsage(program: Command, context: UsageContext): void {
  program
    .command('usage')
    .description('tell what was used in a month, and what it cost by the prices of the configuration; reading is recorded')
    .option('--month <month>', 'for example 2026-11, UTC; "all" for all time (default: this month)')
    .option('--by <team|model|person>', 'what a line is of; a person is a subject, or a key where the log-in does not say whose it is', 'team')
    .option('--team <name>', 'of this team alone')
    .option(...folderOption)
    .option('--csv', 'print CSV')
    .option('--json', 'print JSON')
    .action(async (options: { month?: string; by: string; team?: string; folder?: string; csv?: true; json?: true }, command: Command) => {
      const by = kinds.find((kind) => kind === options.by)
      if (by === undefined) misused(command, '--by takes team, model or person.')
      const month = options.month ?? new Date(context.now?.() ?? Date.now()).toISOString().slice(0, 7)
      if (month !== 'all' && !/^\d{4}-(0[1-9]|1[0-2])$/.test(month)) misused(command, '--month takes a month like 2026-11, or "all".')
      const { currency, models } = context.prices()
      const wanted = [UsageBy.MODEL, UsageBy.TEAM, ...(by === 'person' ? [UsageBy.KEY, UsageBy.SUBJECT] : [])]
      const report = await withReader(context, options.folder, (reader) => reader.usage({ month: month === 'all' ? '' : month, team: options.team ?? '', by: wanted }))
      const lines = linesOf(report.rows, by, models)
      const wholeFrom = report.wholeFromMs === 0n ? undefined : new Date(Number(report.wholeFromMs)).toISOString()
      if (options.json) context.out.write(`${JSON.stringify({ month, by, currency, lines, ...(wholeFrom !== undefined && { wholeFrom }) })}\n`)
      else if (options.csv) context.out.write(csvOf(lines, { month, by, currency, priced: models.length > 0 }))
      else context.out.write(tableOf(lines, { by, currency, priced: models.length > 0 }))
      if (wholeFrom !== undefined && !options.json) context.err.write(`Before ${wholeFrom} usage may lack what was pruned from the log.\n`)
    })
}

function linesOf(rows: readonly UsageRow[], by: Kind, prices: readonly ModelPrice[]): Line[] {
  const priceOf = new Map(prices.map((price) => [price.model, price]))
  const lines = new Map<string, Line>()
  for (const row of rows) {
    const { sums } = row
    if (sums === undefined) continue
    const name = nameOf(row, by)
    const line = lines.get(name) ?? { name, requests: 0, refused: 0, inputTokens: 0, cachedTokens: 0, outputTokens: 0, workerSeconds: 0, ...(prices.length > 0 && { cost: 0 }) }
    const used = { inputTokens: Number(sums.inputTokens), cachedTokens: Number(sums.cachedTokens), outputTokens: Number(sums.outputTokens), workerUs: Number(sums.workerUs) }
    line.requests += Number(sums.requests)
    line.refused += Number(sums.refused)
    line.inputTokens += used.inputTokens
    line.cachedTokens += used.cachedTokens
    line.outputTokens += used.outputTokens
    line.workerSeconds += used.workerUs / 1_000_000
    const price = priceOf.get(row.model)
    // What was refused has no model and no cost.
    if (line.cost !== undefined && sums.requests > 0n) line.cost = price === undefined ? undefined : line.cost + costOf(used, price)
    lines.set(name, line)
  }
  return [...lines.values()]
    .map((line) => ({ ...line, workerSeconds: rounded(line.workerSeconds), ...(line.cost !== undefined && { cost: rounded(line.cost) }) }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

function nameOf({ team, model, keyId, subject }: UsageRow, by: Kind): string {
  if (by === 'team') return team
  if (by === 'model') return model
  return subject === '' ? keyId : subject
}

/** To a millionth, so that no float's tail is shown. */
function rounded(value: number): number {
  return Math.round(value * 1e6) / 1e6
}

function tableOf(lines: readonly Line[], { by, currency, priced }: { by: Kind; currency: string; priced: boolean }): string {
  const titles = [by.toUpperCase(), 'REQUESTS', 'REFUSED', 'INPUT', 'CACHED', 'OUTPUT', 'WORKER SECONDS', ...(priced ? [`COST${currency === '' ? '' : ` ${currency}`}`] : [])]
  const cells = lines.map(({ name, requests, refused, inputTokens, cachedTokens, outputTokens, workerSeconds, cost }) => [
    name === '' ? '-' : name,
    ...[requests, refused, inputTokens, cachedTokens, outputTokens].map(String),
    workerSeconds.toFixed(1),
    ...(priced ? [cost === undefined ? 'no price' : cost.toFixed(2)] : []),
  ])
  return table(titles, cells, 'Nothing was used.')
}

function csvOf(lines: readonly Line[], { month, by, currency, priced }: { month: string; by: Kind; currency: string; priced: boolean }): string {
  const titles = ['month', by, 'requests', 'refused', 'inputTokens', 'cachedTokens', 'outputTokens', 'workerSeconds', ...(priced ? ['cost', 'currency'] : [])]
  const rows = lines.map(({ name, requests, refused, inputTokens, cachedTokens, outputTokens, workerSeconds, cost }) =>
    csvLine([month, name, requests, refused, inputTokens, cachedTokens, outputTokens, workerSeconds, ...(priced ? [cost ?? '', currency] : [])]),
  )
  return csvLine(titles) + rows.join('')
}

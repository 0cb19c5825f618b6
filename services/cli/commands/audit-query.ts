import type { Command } from 'commander'
import { type QueryPage, QueryKind, type RequestRow } from '../../../proto/gen/intramuros/v1/audit_read.ts'
import { countOption, folderOption, jsonOf, type ReadingContext, timeHelp, timeOption, withReader } from './audit-options.ts'
import { misused } from './context.ts'
import { table } from './table.ts'

interface QueryOptions {
  team?: string
  key?: string
  person?: string
  model?: string
  endpoint?: string
  outcome?: string
  error?: string
  from?: string
  to?: string
  others?: true
  type?: string
  oldest?: true
  limit: string
  after?: string
  folder?: string
  json?: true
}

const outcomes = ['completed', 'cancelled', 'failed', 'interrupted', 'open']

/** Adds `audit query`. */
export function registerAuditQuery(audit: Command, context: ReadingContext): void {
  audit
    .command('query')
    .description('list requests, newest first, or with --others the other records; reading is recorded')
    .option('--team <name>', 'of this team')
    .option('--key <id>', 'made with this key')
    .option('--person <subject>', 'of this person, where the log-in says who it is')
    .option('--model <id>', 'to this model')
    .option('--endpoint <endpoint>', 'to this endpoint, for example "POST /v1/chat/completions"')
    .option('--outcome <outcome>', `that ended so: ${outcomes.join(', ')}`)
    .option('--error <reason>', 'that failed with this reason')
    .option('--from <time>', `from then on: ${timeHelp}`)
    .option('--to <time>', 'before then')
    .option('--others', 'records of other kinds: log-ins that failed, changes of teams and keys, starts and stops, reads of the log')
    .option('--type <type>', 'with --others: of this type, for example request.refused')
    .option('--oldest', 'the oldest first')
    .option('--limit <rows>', 'most rows, 1 to 1000', '50')
    .option('--after <cursor>', 'go on behind the page that told this cursor')
    .option(...folderOption)
    .option('--json', 'print JSON')
    .action(async (options: QueryOptions, command: Command) => {
      const request = requestOf(command, options)
      const page = await withReader(context, options.folder, (reader) => reader.query(request))
      if (options.json) context.out.write(`${jsonPage(page)}\n`)
      else {
        context.out.write(options.others ? othersTable(page) : requestsTable(page.requests))
        if (page.next !== undefined) context.err.write(`There are more: --after ${page.next}\n`)
      }
    })
}

function requestOf(command: Command, options: QueryOptions) {
  const { outcome, others, type, endpoint, model, key, person, error } = options
  if (outcome !== undefined && !outcomes.includes(outcome)) misused(command, `--outcome takes one of ${outcomes.join(', ')}.`)
  if (type !== undefined && !others) misused(command, '--type is for --others.')
  if (others && [outcome, endpoint, model, key, person, error].some((one) => one !== undefined)) misused(command, '--others can be searched by --team, --type and time.')
  return {
    kind: others ? QueryKind.OTHERS : QueryKind.REQUESTS,
    team: options.team ?? '',
    keyId: key ?? '',
    subject: person ?? '',
    model: model ?? '',
    endpoint: endpoint ?? '',
    outcome: outcome ?? '',
    error: error ?? '',
    type: type ?? '',
    fromMs: timeOption(command, '--from', options.from),
    toMs: timeOption(command, '--to', options.to),
    oldestFirst: options.oldest ?? false,
    limit: countOption(command, '--limit', options.limit, 1, 1000),
    after: options.after === undefined ? undefined : BigInt(countOption(command, '--after', options.after, 0, Number.MAX_SAFE_INTEGER)),
  }
}

function requestsTable(rows: readonly RequestRow[]): string {
  const cells = rows.map(({ beginIndex, beganMs, team, keyId, subject, model, endpoint, end }) => [
    new Date(Number(beganMs)).toISOString(),
    team,
    subject === '' ? keyId : `${keyId} (${subject})`,
    model,
    endpoint,
    end === undefined ? 'open' : end.error === '' ? end.outcome : `${end.outcome}: ${end.error}`,
    ...(end === undefined ? ['', '', '', ''] : [String(end.inputTokens), String(end.cachedTokens), String(end.outputTokens), String(Math.round(Number(end.durationUs) / 1000))]),
    String(beginIndex),
  ])
  return table(['BEGAN', 'TEAM', 'KEY', 'MODEL', 'ENDPOINT', 'OUTCOME', 'INPUT', 'CACHED', 'OUTPUT', 'MS', 'RECORD'], cells, 'No request matches.')
}

function othersTable({ others }: QueryPage): string {
  const cells = others.map(({ index, record }) => {
    const { at = '', type = '', team = '', ...more } = fieldsOf(record)
    const details = Object.entries(more).filter(([name, value]) => name !== 'v' && !(name === 'clock' && value === 'ok') && value !== '')
    return [text(at), text(type), text(team), details.map(([name, value]) => `${name}=${text(value)}`).join(' '), String(index)]
  })
  return table(['AT', 'TYPE', 'TEAM', 'DETAILS', 'RECORD'], cells, 'No record matches.')
}

export function fieldsOf(record: Uint8Array): Record<string, unknown> {
  const value: unknown = JSON.parse(Buffer.from(record).toString('latin1'))
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function jsonPage({ requests, others, next }: QueryPage): string {
  const told = next === undefined ? {} : { next }
  if (others.length > 0) return jsonOf({ records: others.map(({ index, record }) => ({ index, record: fieldsOf(record) })), ...told })
  return jsonOf({ requests: requests.map(({ beganMs, end, ...row }) => ({ began: time(beganMs), ...row, ...(end && { end: { at: time(end.atMs), ...end } }) })), ...told })
}

function time(ms: bigint): string {
  return new Date(Number(ms)).toISOString()
}

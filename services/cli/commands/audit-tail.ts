import type { Command } from 'commander'
import { countOption, type ReadingContext, withReader } from './audit-options.ts'
import { fieldsOf } from './audit-query.ts'

/** Adds `audit tail`. */
export function registerAuditTail(audit: Command, context: ReadingContext): void {
  audit
    .command('tail')
    .description('print the last records, one line of JSON each; the platform must be running. Reading is recorded')
    .option('-f, --follow', 'go on with what is written from now on')
    .option('-n, --lines <records>', 'how many of the last records', '10')
    .option('--from-record <index>', 'begin at this record instead')
    .option('--team <name>', 'of this team alone')
    .action(async (options: { follow?: true; lines: string; fromRecord?: string; team?: string }, command: Command) => {
      const request = {
        team: options.team ?? '',
        fromIndex: options.fromRecord === undefined ? undefined : BigInt(countOption(command, '--from-record', options.fromRecord, 0, Number.MAX_SAFE_INTEGER)),
        last: countOption(command, '--lines', options.lines, 0, 100_000),
        follow: options.follow ?? false,
      }
      await withReader(context, async (reader) => {
        for await (const { records } of reader.tail(request)) {
          for (const { index, record } of records) context.out.write(`${JSON.stringify({ index: Number(index), record: fieldsOf(record) })}\n`)
        }
      })
    })
}

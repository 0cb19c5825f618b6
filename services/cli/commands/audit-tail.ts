import { once } from 'node:events'
import type { Command } from 'commander'
import { countOption, folderOption, type ReadingContext, withReader } from './audit-options.ts'
import { fieldsOf } from './audit-query.ts'
import { misused } from './context.ts'

/** Adds `audit tail`. */
export function registerAuditTail(audit: Command, context: ReadingContext): void {
  audit
    .command('tail')
    .description('print the last records, one line of JSON each; reading is recorded')
    .option('-f, --follow', 'go on with what is written from now on')
    .option('-n, --lines <records>', 'how many of the last records', '10')
    .option('--from-record <index>', 'begin at this record instead')
    .option('--team <name>', 'of this team alone')
    .option(...folderOption)
    .action(async (options: { follow?: true; lines: string; fromRecord?: string; team?: string; folder?: string }, command: Command) => {
      if (options.follow && options.folder !== undefined) misused(command, '--follow is for a running platform, not for a folder.')
      const request = {
        team: options.team ?? '',
        fromIndex: options.fromRecord === undefined ? undefined : BigInt(countOption(command, '--from-record', options.fromRecord, 0, Number.MAX_SAFE_INTEGER)),
        last: countOption(command, '--lines', options.lines, 0, 100_000),
        follow: options.follow ?? false,
      }
      await withReader(context, options.folder, async (reader) => {
        for await (const { records } of reader.tail(request)) {
          const lines = records.map(({ index, record }) => `${JSON.stringify({ index: Number(index), record: fieldsOf(record) })}\n`)
          // A slow reader of a long log must not fill the memory.
          if (!context.out.write(lines.join(''))) await once(context.out, 'drain')
        }
      })
    })
}

import { resolve } from 'node:path'
import type { Command } from 'commander'
import { writeArchive } from '../archive/write-archive.ts'
import { folderOption, type ReadingContext, timeHelp, timeOption, withReader } from './audit-options.ts'

/** Adds `audit export`. */
export function registerAuditExport(audit: Command, context: ReadingContext): void {
  audit
    .command('export')
    .description('write records to a folder, with all that proves them: it can be checked with the platform gone. Reading is recorded')
    .requiredOption('--out <folder>', 'folder to make')
    .option('--team <name>', 'records of this team alone')
    .option('--from <time>', `recorded from then on: ${timeHelp}`)
    .option('--to <time>', 'recorded before then')
    .option(...folderOption)
    .option('--json', 'print JSON')
    .action(async (options: { out: string; team?: string; from?: string; to?: string; folder?: string; json?: true }, command: Command) => {
      const { team = '' } = options
      const [fromMs, toMs] = [timeOption(command, '--from', options.from), timeOption(command, '--to', options.to)]
      const folder = resolve(options.out)
      const about = await withReader(context, options.folder, (reader) => writeArchive(reader.export({ team, fromMs, toMs }), { folder, team, from: timeText(fromMs), to: timeText(toMs) }))
      if (options.json) context.out.write(`${JSON.stringify({ folder, ...about })}\n`)
      else context.out.write(`${about.records} records of a log of ${about.size} are in ${folder}. Check them with: intramuros audit verify --archive ${folder}\n`)
    })
}

function timeText(ms: bigint | undefined): string {
  return ms === undefined ? '' : new Date(Number(ms)).toISOString()
}

import { type Command, CommanderError } from 'commander'
import { type Verified, verifyLog, type VerifyResult } from '../../audit/log/verify.ts'
import { ServiceError } from '../../shared/errors.ts'
import { type CommandContext, misused } from './context.ts'

/** Adds `audit verify` to the program: status 0 for an intact log, 1 for one that was tampered with, 2 when none can be read. */
export function registerAudit(program: Command, { auditFolder, out }: CommandContext): Command {
  const audit = program.command('audit').description('the record of all requests')

  audit
    .command('verify')
    .description('check the whole log, and name the first record that was changed, removed or added; the platform may be running')
    .option('--folder <folder>', 'folder of the log, or of a copy (default: the one that is configured)')
    .option('--archive <folder>', 'check what "audit export" wrote instead')
    .option('--receipt <file>', 'check what GET /v1/receipts/ answered instead; --key must be given')
    .option('--key <vkey>', 'with --archive and --receipt: the key that the log is signed with, or a file that holds it')
    .option('--json', 'print JSON')
    .action(async (options: { folder?: string; archive?: string; receipt?: string; key?: string; json?: true }, command: Command) => {
      if (options.receipt !== undefined) {
        const { verifyReceiptFile } = await import('./audit-verify-receipt.ts')
        verifyReceiptFile(command, options.receipt, options, out)
        return
      }
      if (options.archive !== undefined) {
        await verifyArchive(command, options.archive, options, out)
        return
      }
      const folder = options.folder ?? (await auditFolder())
      const result = await verify(command, folder)
      out.write(options.json ? `${JSON.stringify({ folder, ...result })}\n` : verdict(folder, result))
      if (!result.ok) throw new CommanderError(1, 'intramuros.tampered', result.message)
    })
  return audit
}

async function verifyArchive(command: Command, folder: string, { key, json }: { key?: string; json?: true }, out: NodeJS.WritableStream): Promise<void> {
  const { verifyArchiveFor } = await import('./audit-verify-archive.ts')
  const verdict = await verifyArchiveFor(folder, key).catch((thrown: unknown) => {
    if (!(thrown instanceof Error && 'syscall' in thrown && 'code' in thrown)) throw thrown
    return misused(command, `the archive in ${folder} cannot be read: ${String(thrown.code)}`)
  })
  out.write(json ? `${verdict.json}\n` : verdict.text)
  if (!verdict.ok) throw new CommanderError(1, 'intramuros.tampered', verdict.text)
}

async function verify(command: Command, folder: string): Promise<VerifyResult> {
  try {
    return await verifyLog(folder)
  } catch (thrown) {
    if (thrown instanceof ServiceError) misused(command, `${thrown.message} (${folder})`)
    if (!(thrown instanceof Error && 'syscall' in thrown && 'code' in thrown)) throw thrown
    return misused(command, `the log in ${folder} cannot be read: ${String(thrown.code)}`)
  }
}

function verdict(folder: string, result: VerifyResult): string {
  if (result.ok) return `The audit log in ${folder} is intact: ${details(result).join(', ')}.\n`
  return `The audit log in ${folder} was tampered with.\n${result.message}\n`
}

function details({ records, bytes, open, interrupted, beyondHead, tornBytes }: Verified): string[] {
  return [
    `${records} records in ${bytes} bytes`,
    `${open} requests open`,
    `${interrupted} interrupted`,
    ...(beyondHead === 0 ? [] : [`${beyondHead} records after the last known end, written just now or before a crash`]),
    ...(tornBytes === 0 ? [] : [`${tornBytes} bytes of an unfinished record at the end`]),
  ]
}

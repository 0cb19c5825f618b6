import { readFile } from 'node:fs/promises'
import { type Command, CommanderError } from 'commander'
import type { PostgresSettings } from '../../audit/store/postgres/connection.ts'
import { StoreError } from '../../audit/store/store.ts'
import { MalformedError } from '../../audit/tlog/malformed.ts'
import { type Verified, verifyFolder, verifyLog, type VerifyOptions, type VerifyResult } from '../../audit/verify/verify-folder.ts'
import { ServiceError } from '../../shared/errors.ts'
import { type CommandContext, misused } from './context.ts'

/** Adds `audit verify` to the program: status 0 for an intact log, 1 for one that was tampered with, 2 when none can be read. */
export function registerAudit(program: Command, { auditFolder, auditPostgres, auditKeyFile, out }: CommandContext): Command {
  const audit = program.command('audit').description('the record of all requests')

  audit
    .command('verify')
    .description('check the whole log against its signed checkpoint, and name the first record or file that was changed or removed; the platform may be running')
    .option('--folder <folder>', 'folder of the log, or of a copy (default: the one that is configured)')
    .option('--archive <folder>', 'check what "audit export" wrote instead')
    .option('--receipt <file>', 'check what GET /v1/receipts/ answered, or "verify isolation" saved, instead')
    .option('--report <file>', 'with --receipt: the receipt must be of this report of "verify isolation"')
    .option('--key <vkey>', 'the key that its checkpoint must be signed with, or a file that holds it (default for the configured log and for receipts: log.pub of its key folder)')
    .option('--checkpoint <file>', 'a checkpoint that was kept elsewhere, or a folder of them: the log must contain what was signed in each')
    .option('--json', 'print JSON')
    .action(async (options: { folder?: string; archive?: string; receipt?: string; report?: string; key?: string; checkpoint?: string; json?: true }, command: Command) => {
      if (options.receipt !== undefined) {
        const { verifyReceiptFile } = await import('./audit-verify-receipt.ts')
        verifyReceiptFile(command, options.receipt, (await namedKey(command, options.key)) ?? (await configuredKey(await auditKeyFile())), options, out)
        return
      }
      if (options.archive !== undefined) {
        await verifyArchive(command, options.archive, options, out)
        return
      }
      const database = options.folder === undefined ? auditPostgres?.() : undefined
      const folder = options.folder ?? (database === undefined ? await auditFolder() : await placeOfDatabase(database))
      const vkey = options.key === undefined && options.folder === undefined ? await configuredKey(await auditKeyFile()) : await namedKey(command, options.key)
      const result = await verify(command, database ?? folder, { ...(vkey === undefined ? {} : { vkey }), ...(options.checkpoint === undefined ? {} : { checkpoints: options.checkpoint }) })
      out.write(options.json ? `${JSON.stringify({ folder, ...result })}\n` : verdict(folder, result))
      if (!result.ok) throw new CommanderError(1, 'intramuros.tampered', result.message)
    })
  audit
    .command('key')
    .description('print the public key of the log, for those who check it')
    .action(async (_: object, command: Command) => {
      const key = (await configuredKey(await auditKeyFile())) ?? misused(command, 'there is none yet: the audit service makes it when it starts first.')
      out.write(`${key}\n`)
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

async function namedKey(command: Command, key: string | undefined): Promise<string | undefined> {
  if (key === undefined) return undefined
  try {
    return (await readFile(key, 'utf8')).trim()
  } catch (thrown) {
    if (key.includes('+')) return key
    return misused(command, `the key in ${key} cannot be read: ${thrown instanceof Error && 'code' in thrown ? String(thrown.code) : ''}`)
  }
}

/** Before the first start there is none. */
async function configuredKey(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return undefined
    throw thrown
  }
}

/** Loaded only where it is wanted: most commands need no database. */
async function placeOfDatabase({ address }: PostgresSettings): Promise<string> {
  const { placeOf } = await import('../../audit/store/postgres/connection.ts')
  return `PostgreSQL at ${placeOf(address)}`
}

async function verify(command: Command, place: string | PostgresSettings, options: VerifyOptions): Promise<VerifyResult> {
  try {
    if (typeof place === 'string') return await verifyFolder(place, options)
    const { openPostgresSource } = await import('../../audit/verify/postgres-source.ts')
    return await verifyLog(() => openPostgresSource(place), options)
  } catch (thrown) {
    if (thrown instanceof StoreError) misused(command, thrown.message)
    const folder = typeof place === 'string' ? place : ''
    if (thrown instanceof ServiceError) misused(command, `${thrown.message} (${folder})`)
    if (thrown instanceof MalformedError) misused(command, `the key is none: ${thrown.message}`)
    if (!(thrown instanceof Error && 'code' in thrown)) throw thrown
    const what = 'path' in thrown && typeof thrown.path === 'string' ? thrown.path : `the log in ${folder}`
    return misused(command, `${what} cannot be read: ${String(thrown.code)}`)
  }
}

function verdict(folder: string, result: VerifyResult): string {
  if (result.ok) return `The audit log in ${folder} is intact: ${details(result).join(', ')}.\n${trust(result)}${kept(result)}`
  return `The audit log in ${folder} was tampered with.\n${result.message}\n`
}

function details({ records, bytes, open, interrupted, pruned }: Verified): string[] {
  return [`${records} records in ${bytes} bytes`, `${open} requests open`, `${interrupted} interrupted`, ...(pruned === 0 ? [] : [`${pruned} pruned, checked by their hashes`])]
}

function kept({ heldAgainst }: Verified): string {
  if (heldAgainst === undefined) return ''
  if (heldAgainst === 0) return 'There was no checkpoint to hold it against.\n'
  return heldAgainst === 1 ? 'It contains what was signed in the checkpoint that was kept.\n' : `It contains what was signed in each of ${heldAgainst} checkpoints that were kept.\n`
}

function trust({ signed, records, origin, keyChecked }: Verified): string {
  if (signed === undefined) return 'No checkpoint has been signed yet.\n'
  const of = `${origin}, of the first ${signed} of ${records} records`
  return keyChecked ? `Its checkpoint is signed by the key of ${of}.\n` : `Its checkpoint says to be ${of}. Without a key (--key) nobody knows who signed it.\n`
}

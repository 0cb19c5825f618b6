import { type Command, CommanderError } from 'commander'
import { catalogueOf } from '../../shared/models/catalogue.ts'
import { createProgress } from '../../shared/models/progress.ts'
import type { VerifiedFile } from '../../shared/models/verify.ts'
import type { ProgramContext } from '../context.ts'
import { knownEntry } from './known-entry.ts'
import { table } from './table.ts'

/** `models verify`: status 0 when all is as the catalogue says, 1 when something is not. */
export function registerVerify(group: Command, context: ProgramContext): void {
  group
    .command('verify')
    .description('read model files to their end and compare their SHA-256 with the catalogue; encrypted ones are decrypted for it, to nowhere')
    .argument('[ids...]', 'models to verify (default: all whose file is here)')
    .option('--json', 'print JSON')
    .action(async (ids: string[], { json }: { json?: true }, command: Command) => {
      const { env, out, err } = context
      const config = context.config()
      const entries = ids.length === 0 ? [...catalogueOf(config.models).values()] : ids.map((id) => knownEntry(command, config, id))
      const [{ verifyModel }, { readModelKey }] = await Promise.all([import('../../shared/models/verify.ts'), import('../../shared/models/model-key.ts')])
      let key: Promise<string[]> | undefined
      const readKey = (): Promise<string[]> => (key ??= readModelKey(config.modelEncryption, env))
      const progress = json === true ? undefined : createProgress(err)
      const onBytes = (path: string, received: number, total: number): void => progress?.({ source: path, received, total })
      const results: VerifiedFile[] = []
      for (const entry of entries) {
        const found = await verifyModel(entry, { home: config.home, readKey, onBytes, signal: new AbortController().signal })
        results.push(...found.filter(({ status, path }) => status !== 'missing' || path !== undefined || ids.length > 0))
      }
      progress?.done()
      out.write(json === true ? `${JSON.stringify(results)}\n` : described(results))
      const bad = results.filter(({ status }) => status !== 'ok' && status !== 'unpinned')
      if (bad.length > 0) throw new CommanderError(1, 'intramuros.not_verified', `${bad.length} not as the catalogue says`)
    })
}

function described(results: readonly VerifiedFile[]): string {
  const rows = results.map(({ id, status, size, path, encrypted }) => [
    id,
    status,
    size === undefined ? '' : String(size),
    encrypted === true ? 'encrypted' : 'plain',
    path ?? '',
  ])
  const reasons = results.flatMap(({ id, message, path }) => (message === undefined ? [] : [`${id}: ${path === undefined ? '' : `${path}: `}${message}\n`]))
  return table(['MODEL', 'STATUS', 'BYTES', 'FILE', 'PATH'], rows, 'There are no model files here.') + reasons.join('')
}

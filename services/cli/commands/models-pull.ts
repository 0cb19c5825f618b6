import { readFile, realpath } from 'node:fs/promises'
import { createInterface } from 'node:readline/promises'
import { type Command, CommanderError } from 'commander'
import type { Config } from '../../shared/config/schema.ts'
import { pinDigest } from '../../shared/config/pin-digest.ts'
import { isUnpinned, type ModelEntry } from '../../shared/models/catalogue.ts'
import { fetchModel, type FetchOptions, fetchToPin, type FoundFile, pinFound } from '../../shared/models/fetch.ts'
import { createProgress } from '../../shared/models/progress.ts'
import { replaceFile } from '../../shared/models/replace-file.ts'
import type { ProgramContext } from '../context.ts'
import { misused } from './context.ts'
import { knownEntry } from './known-entry.ts'

/** `models pull`: fetches a model's file now; pins the digest of one that the catalogue has none for. */
export function registerPull(group: Command, context: ProgramContext): void {
  group
    .command('pull')
    .description('fetch the file of a model now; of one without SHA-256 in the catalogue, show what was found and pin it once confirmed')
    .argument('<id>', 'model of the catalogue')
    .option('--confirm <sha256>', 'pin without asking, if the file has this SHA-256')
    .action(async (id: string, { confirm }: { confirm?: string }, command: Command) => {
      const config = context.config()
      const entry = knownEntry(command, config, id)
      if (confirm !== undefined && !/^[0-9a-f]{64}$/.test(confirm)) misused(command, '--confirm takes a SHA-256: 64 lower-case hexadecimal digits.')
      const { out, err, env } = context
      const progress = createProgress(err)
      const options: FetchOptions = {
        home: config.home,
        hubEndpoint: config.sources.hub,
        packageIndex: config.sources.packageIndex,
        offline: config.sources.offline,
        env,
        onProgress: progress,
      }
      if (isUnpinned(entry)) {
        const found = await fetchToPin(entry, options).finally(() => progress.done())
        await pin(entry, found, confirm, config, context)
        return
      }
      if (confirm !== undefined && entry.sha256 !== undefined && confirm !== entry.sha256) {
        misused(command, 'the catalogue pins this model already, to another SHA-256.')
      }
      const path = await fetchModel(entry, options).finally(() => progress.done())
      out.write(`${path}\n`)
    })
}

async function pin(entry: ModelEntry, found: FoundFile, confirm: string | undefined, config: Config, { out, err }: ProgramContext): Promise<void> {
  const { size, sha256, source } = found
  err.write(`The catalogue has no SHA-256 for ${entry.id}. This is what was found:\n  file     ${entry.file}\n  from     ${source}\n  size     ${size} bytes\n  SHA-256  ${sha256}\n`)
  if (entry.size !== undefined && entry.size !== size) refuse(err, `The catalogue's entry says ${entry.size} bytes: nothing is pinned.`)
  if (confirm !== undefined && confirm !== sha256) refuse(err, 'That is not the SHA-256 that was given with --confirm: nothing is pinned.')
  if (confirm === undefined && !(await isConfirmed(err))) {
    refuse(err, `Nothing is pinned. Compare the SHA-256 with what the model's publisher tells, then: intramuros models pull ${entry.id} --confirm ${sha256}`)
  }
  const path = await pinFound(entry, found, config.home)
  if (await writePin(config.file, { id: entry.id, sha256, size })) {
    err.write(`Pinned in ${config.file}.\n`)
    out.write(`${path}\n`)
    return
  }
  refuse(err, `The file is in place (${path}), but ${config.file} can't be changed safely. Write into the entry there, then it can be served:\n  sha256: "${sha256}"\n  size: ${size}`)
}

/** A person at a terminal must say yes; a program gives --confirm. */
async function isConfirmed(err: NodeJS.WritableStream): Promise<boolean> {
  if (!process.stdin.isTTY) return false
  const lines = createInterface({ input: process.stdin, output: err })
  try {
    return (await lines.question('Pin this file? Type yes: ')).trim().toLowerCase() === 'yes'
  } finally {
    lines.close()
  }
}

async function writePin(file: string, pinned: { id: string; sha256: string; size: number }): Promise<boolean> {
  try {
    // It may be a link, which is to stay one.
    const real = await realpath(file)
    const text = pinDigest(await readFile(real, 'utf8'), pinned)
    if (text === undefined) return false
    await replaceFile(real, text)
    return true
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown) return false
    throw thrown
  }
}

function refuse(err: NodeJS.WritableStream, message: string): never {
  err.write(`${message}\n`)
  throw new CommanderError(1, 'intramuros.not_pinned', message)
}

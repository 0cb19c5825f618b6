import { createHash } from 'node:crypto'
import { readFile, mkdir, readdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { runTool, toolOutput } from '../run-tool.ts'

/** A package of Debian 12, pinned. */
export interface DebianPackage {
  name: string
  version: string
  /** Of the .deb file, hexadecimal. */
  sha256: string
}

const lockCheck = Compile(Type.Record(Type.String(), Type.Object({ version: Type.String(), sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }) }, { additionalProperties: false })))
export const debianLockFile = join(import.meta.dirname, 'debian.lock.json')

/** The pinned packages of these names. Throws for one that is not pinned. */
export async function lockedDebian(names: readonly string[]): Promise<DebianPackage[]> {
  const lock: unknown = JSON.parse(await readFile(debianLockFile, 'utf8'))
  if (!lockCheck.Check(lock)) throw new Error(`${debianLockFile} is no list of packages with version and sha256`)
  return names.map((name) => {
    const entry = lock[name]
    if (entry === undefined) throw new Error(`${name} is not in debian.lock.json: run "npm run images:lock"`)
    return { name, ...entry }
  })
}

/** The .deb file, from the cache or the mirror that apt is configured for. Throws when it can't be had, or is not the one that is pinned. */
export async function fetchDebian({ name, version, sha256 }: DebianPackage, cache: string): Promise<string> {
  const kept = join(cache, `${sha256}.deb`)
  const known = await readFile(kept).catch(() => undefined)
  if (known !== undefined && digestOf(known) === sha256) return kept
  const folder = join(cache, `fetch-${process.pid}-${name}`)
  await mkdir(folder, { recursive: true })
  await runTool('apt-get', ['download', '--quiet', `${name}=${version}`], { cwd: folder }).catch((thrown: unknown) => {
    throw new Error(`${name} ${version} can not be had any more: run "apt-get update", and if that is not it, "npm run images:lock" for what there is now. ${String(thrown)}`)
  })
  const [file = ''] = await readdir(folder)
  const bytes = await readFile(join(folder, file))
  if (digestOf(bytes) !== sha256) throw new Error(`${name} ${version} is not what is pinned: its SHA-256 is ${digestOf(bytes)}.`)
  await rename(join(folder, file), kept)
  return kept
}

/** Pins what apt has now of these. */
export async function lockDebian(names: readonly string[]): Promise<void> {
  const lock: Record<string, { version: string; sha256: string }> = {}
  for (const name of [...new Set(names)].toSorted()) {
    // oxlint-disable-next-line no-await-in-loop -- a handful
    const said = await toolOutput('apt-cache', ['show', '--no-all-versions', name])
    const version = /^Version: (\S+)$/m.exec(said)?.[1]
    const sha256 = /^SHA256: ([0-9a-f]{64})$/m.exec(said)?.[1]
    if (version === undefined || sha256 === undefined) throw new Error(`apt does not know ${name}: run "apt-get update"`)
    lock[name] = { version, sha256 }
  }
  await writeFile(debianLockFile, `${JSON.stringify(lock, undefined, 2)}\n`)
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

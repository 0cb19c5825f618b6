import { createHash } from 'node:crypto'
import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import Type, { type Static } from 'typebox'
import { Value } from 'typebox/value'
import { AgeError } from '../age/age-error.ts'
import { readLayout } from '../age/layout.ts'
import { GgufError } from '../gguf/gguf-error.ts'
import { readPartsAfter } from '../gguf/model-file.ts'
import { isUnpinned, type ModelEntry } from './catalogue.ts'
import { sha256OfFile } from './digest.ts'
import { isInParts, partsProblem, type Pinned } from './parts.ts'

/** Where a fetched or hand-placed file of this model lies. The digest in the name keeps two files of one name apart. */
export function storedPath(home: string, entry: ModelEntry & { sha256: string }): string {
  return join(home, 'models', `${entry.sha256.slice(0, 12)}-${entry.file}`)
}

/** What an encrypted model file is called: as the plain one, with this behind it. */
export const encryptedSuffix = '.age'

export function isEncrypted(path: string): boolean {
  return path.endsWith(encryptedSuffix)
}

/** Folder of unfinished downloads. What lies there can be deleted at any time; it only saves repeating a download. */
export function partialFolder(home: string): string {
  return join(home, 'models', 'partial')
}

/** Where a download of this model's file goes on. */
export function partialPath(home: string, entry: ModelEntry): string {
  // Of a file without a digest all that is known is where it comes from.
  const digest = entry.sha256 ?? createHash('sha256').update(JSON.stringify(entry.from)).digest('hex')
  return join(partialFolder(home), `${entry.sha256 === undefined ? 'unpinned-' : ''}${digest.slice(0, 12)}-${entry.file}`)
}

export interface FileDigest {
  /** Bytes. */
  size: number
  /** Lower-case hexadecimal. */
  sha256: string
}

/** llama.cpp finds further parts by their names in a folder, and what is decrypted has none. */
export const notEncryptedInParts = 'is encrypted, and models in parts are served plain only: merge the parts (llama-gguf-split --merge), then encrypt that file'

/** The most usual objection. */
export const notThere = 'is not there'

/** What was known of a file when it was hashed. Times are nanoseconds, as text: JSON has no 64-bit integers. */
const Marker = Type.Object({
  path: Type.String(),
  sha256: Type.String(),
  size: Type.String(),
  mtimeNs: Type.String(),
  ctimeNs: Type.String(),
  inode: Type.String(),
})
type Marker = Static<typeof Marker>

/**
 * Size and SHA-256 of a file. The digest is remembered under <home>/models/checked, with the file's size, times and inode, so
 * that a warm start need not read gigabytes again; a file of which any of these changed is hashed anew. This notices accidents
 * and ordinary changes; it is no defence against someone who can write in the state folder, for whom the marker is as writable
 * as the file. Throws as the file system does, ENOENT for instance.
 */
export async function digestOf(path: string, home: string, signal?: AbortSignal): Promise<FileDigest> {
  const absolute = resolve(path)
  const before = await describe(absolute)
  const marker = await readMarker(markerPath(absolute, home))
  if (marker !== undefined && same(marker, before)) return { size: Number(before.size), sha256: marker.sha256 }
  const sha256 = await sha256OfFile(absolute, signal)
  // A file that changes while it is read gets no marker: its digest belongs to no one moment.
  if (same({ ...before, sha256 }, await describe(absolute))) await writeMarker(markerPath(absolute, home), { ...before, sha256 })
  return { size: Number(before.size), sha256 }
}

function markerPath(path: string, home: string): string {
  return join(home, 'models', 'checked', `${createHash('sha256').update(path).digest('hex').slice(0, 24)}.json`)
}

/**
 * Where this model's file lies, the first of one in parts, if one of the right size and digest is here, with all its parts: in the
 * store, else at from.path. Nothing is fetched.
 */
export async function presentPath(entry: ModelEntry, home: string, signal?: AbortSignal): Promise<string | undefined> {
  return (await lookFor(entry, home, signal)).path
}

/** The same, or what stands against each place, to be printed. Nobody said that an encrypted file would be beside a plain one: of none nothing is told. */
export async function lookFor(entry: ModelEntry, home: string, signal?: AbortSignal): Promise<{ path: string } | { path: undefined; reasons: string[] }> {
  const reasons: string[] = []
  const named = plainPlacesOf(entry, home)
  for (const path of placesOf(entry, home)) {
    const reason = await objection(entry, path, home, signal)
    if (reason === undefined) return { path }
    if (reason !== notThere || named.includes(path)) reasons.push(`${path} ${reason}`)
  }
  return { path: undefined, reasons }
}

/** The places where a file of this model may lie, best first. Beside each, one that was encrypted is preferred. */
export function placesOf(entry: ModelEntry, home: string): string[] {
  return plainPlacesOf(entry, home).flatMap((place) => (isEncrypted(place) ? [place] : [place + encryptedSuffix, place]))
}

/** The same without those that encryption would give. */
export function plainPlacesOf(entry: ModelEntry, home: string): string[] {
  const places: string[] = []
  if (entry.sha256 !== undefined) places.push(storedPath(home, { ...entry, sha256: entry.sha256 }))
  if (entry.from.path !== undefined) places.push(entry.from.path)
  return places
}

/**
 * Why the file at `path` can't be used for this model, in plain words; undefined when it can. The further parts of a model in parts lie
 * beside it, and must be as the entry says, too. Of an encrypted file only the size and shape are looked at: its digest is checked by
 * whoever decrypts it.
 */
export async function objection(
  entry: ModelEntry,
  path: string,
  home: string,
  signal?: AbortSignal,
): Promise<string | undefined> {
  if (isUnpinned(entry)) return 'has no SHA-256 in the catalogue to be checked by'
  const ofFirst = isEncrypted(path) ? await readable(path, signal, async () => await objectionToEncrypted(entry, path)) : await objectionToFile(entry, path, home, signal)
  if (ofFirst !== undefined) return ofFirst
  const problem = partsProblem(entry)
  if (problem !== undefined) return `can't be used: the entry ${problem}`
  return entry.parts === undefined ? undefined : await objectionToParts(entry.parts, path, home, signal)
}

async function objectionToParts(parts: readonly Pinned[], first: string, home: string, signal: AbortSignal | undefined): Promise<string | undefined> {
  let paths: string[]
  try {
    paths = await readPartsAfter(first)
  } catch (thrown) {
    if (thrown instanceof GgufError) return `can't be used: ${thrown.message}`
    throw thrown
  }
  if (paths.length !== parts.length) return `is not the first of ${parts.length + 1} parts, as which the entry names it: it has no others`
  for (const [index, path] of paths.entries()) {
    const reason = await objectionToFile(parts[index] ?? {}, path, home, signal)
    if (reason !== undefined) return `is the first of ${parts.length + 1} parts, of which ${basename(path)} ${reason}`
  }
  return undefined
}

/** The same of one plain file alone. */
export async function objectionToFile(pinned: Partial<Pinned>, path: string, home: string, signal?: AbortSignal): Promise<string | undefined> {
  return await readable(path, signal, async (size) => {
    if (pinned.size !== undefined && size !== pinned.size) return `has ${size} bytes instead of ${pinned.size}`
    if (pinned.sha256 === undefined) return undefined
    const { sha256 } = await digestOf(path, home, signal)
    return sha256 === pinned.sha256 ? undefined : `has the SHA-256 ${sha256} instead of ${pinned.sha256}`
  })
}

/** What `check` says of a file of so many bytes, or why it can't be read. */
async function readable(path: string, signal: AbortSignal | undefined, check: (size: number) => Promise<string | undefined>): Promise<string | undefined> {
  try {
    return await check(Number((await describe(path)).size))
  } catch (error) {
    signal?.throwIfAborted()
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT' || code === 'ENOTDIR') return notThere
    if (code === 'EACCES' || code === 'EPERM') return 'may not be read by this user'
    if (code === 'EISDIR') return 'is not a file'
    throw error
  }
}

async function objectionToEncrypted(entry: ModelEntry, path: string): Promise<string | undefined> {
  if (isInParts(entry)) return notEncryptedInParts
  const file = await open(path, 'r')
  try {
    const { plain } = await readLayout(file)
    return entry.size === undefined || plain === entry.size ? undefined : `has ${plain} bytes inside instead of ${entry.size}`
  } catch (error) {
    if (error instanceof AgeError) return `can't be decrypted: ${error.message}`
    throw error
  } finally {
    await file.close()
  }
}

/** Moves a file just checked, of this digest, to its place, so that after a crash it is there whole or not at all. */
export async function putInPlace(from: string, to: string, home: string, sha256: string): Promise<void> {
  const file = await open(from, 'r+')
  try {
    await file.chmod(0o600)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(from, to)
  await syncFolder(dirname(to))
  const path = resolve(to)
  await writeMarker(markerPath(path, home), { ...(await describe(path)), sha256 })
}

/** Makes a rename in the folder durable. */
export async function syncFolder(path: string): Promise<void> {
  // Windows can't open a folder; elsewhere this makes the rename durable.
  if (process.platform === 'win32') return
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

async function describe(path: string): Promise<Omit<Marker, 'sha256'>> {
  const stats = await stat(path, { bigint: true })
  if (!stats.isFile()) throw Object.assign(new Error('not a file'), { code: 'EISDIR' })
  return {
    path,
    size: String(stats.size),
    mtimeNs: String(stats.mtimeNs),
    ctimeNs: String(stats.ctimeNs),
    inode: String(stats.ino),
  }
}

function same(marker: Marker, now: Omit<Marker, 'sha256'>): boolean {
  return (
    marker.path === now.path &&
    marker.size === now.size &&
    marker.mtimeNs === now.mtimeNs &&
    marker.ctimeNs === now.ctimeNs &&
    marker.inode === now.inode
  )
}

async function readMarker(path: string): Promise<Marker | undefined> {
  try {
    const marker: unknown = JSON.parse(await readFile(path, 'utf8'))
    return Value.Check(Marker, marker) ? marker : undefined
  } catch {
    // Missing or damaged: the file is hashed again.
    return undefined
  }
}

async function writeMarker(path: string, marker: Marker): Promise<void> {
  const partial = `${path}.${process.pid}`
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await writeFile(partial, JSON.stringify(marker), { mode: 0o600 })
    await rename(partial, path)
  } catch {
    // A state folder that can't be written (full, read-only) costs the next start a hash, not this one its model.
    await rm(partial, { force: true }).catch(() => undefined)
  }
}

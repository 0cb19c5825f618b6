import { ServiceError } from '../../shared/errors.ts'
import { decodeRecord, glanceAt } from '../records/record.ts'
import { databaseName, DatabaseUnusableError } from '../store/folder/database.ts'
import { decodeBundle } from '../tlog/bundle.ts'
import { type Edge, edgeRoot, edgeTile, emptyEdge, extendEdge } from '../tlog/edge.ts'
import { MalformedError } from '../tlog/malformed.ts'
import { ed25519Verifier, type NoteVerifier } from '../tlog/note.ts'
import { hashBytes, hashLeaf, perfectRoot } from '../tlog/merkle.ts'
import { checkpointPath, fullWidth, partialTiles, type TilePlace, tilePath, widthAt } from '../tlog/tile-path.ts'
import { createExplained, type Explained } from './explained.ts'
import { type AheadChecks, checkAhead } from './check-ahead.ts'
import type { GoodBundle } from './check-bundle.ts'
import { type Fault, FaultFound, found } from './fault.ts'
import { type LogSource, openLogSource } from './log-source.ts'
import type { TreeHead } from '../store/store.ts'
import { type Published, readPublished } from './read-published.ts'
import { readSavedCheckpoints, type SavedCheckpoint } from './saved-checkpoints.ts'

export type VerifyResult = Verified | Tampered

export interface Verified {
  ok: true
  records: number
  bytes: number
  /** Requests that have begun and not ended: under way, or died with their gateway and not yet closed. */
  open: number
  /** Requests that died, closed as such. */
  interrupted: number
  /** Records whose hash alone is left. */
  pruned: number
  /** Records that the newest checkpoint is of; undefined when none was published yet. */
  signed?: number
  /** Name of the log, as its checkpoint has it. */
  origin?: string
  /** Checkpoints that were kept elsewhere and whose trees the log contains; undefined when none were asked for. */
  heldAgainst?: number
  /** The checkpoint was signed by the key that was given. Without a key only its form was checked. */
  keyChecked: boolean
  /** Root of the whole tree, base64. */
  root: string
}

/** The first fault, and how many good records stand before it. */
export interface Tampered extends Fault {
  ok: false
  goodRecords: number
}

export interface VerifyOptions {
  /** The public key of the log, as in log.pub. Without it anybody could have signed the checkpoint. */
  vkey?: string
  /** A checkpoint that was kept elsewhere, or a folder of them: the log must contain the tree of each. */
  checkpoints?: string
}

/**
 * Checks the whole log of a folder, in bounded memory: every entry is a record, every hash follows from the entries, and the checkpoint is
 * signed and of this tree. The service may be running; a copy of what it serves will do, too. Entries that were pruned are taken by their
 * hashes, where the log says that they would go. Throws NOT_FOUND no_log when there is none, MalformedError for a key that is none.
 */
export function verifyFolder(folder: string, options: VerifyOptions = {}, lookAhead: LookAhead = checkAhead): Promise<VerifyResult> {
  return verifyLog(() => openLogSource(folder), options, (bundles) => lookAhead(folder, bundles))
}

type LookAhead = (folder: string, bundles: number) => Pick<AheadChecks, 'take' | 'close'> | undefined

/** The same of a log that is opened somewhere else. `lookAhead`: at so many bundles, where that is worth it. */
export async function verifyLog(
  open: () => Promise<LogSource | undefined>,
  { vkey, checkpoints }: VerifyOptions = {},
  lookAhead: (bundles: number) => ReturnType<LookAhead> = () => undefined,
): Promise<VerifyResult> {
  const verifier = vkey === undefined ? undefined : ed25519Verifier(vkey)
  const tally: Tally = { edge: emptyEdge, bytes: 0, pruned: 0, interrupted: 0, open: new Set(), explained: createExplained() }
  let source: LogSource | undefined
  let ahead: Pick<AheadChecks, 'take' | 'close'> | undefined
  try {
    // Read first: the log may grow beyond what is read of it, but not the other way.
    const saved = checkpoints === undefined ? undefined : await readSavedCheckpoints(checkpoints, verifier)
    source = await open()
    if (source === undefined) throw new ServiceError('NOT_FOUND', 'no_log', 'There is no audit log in this folder.')
    const { served, stored } = readPublished(source, verifier)
    ahead = lookAhead(Math.floor((source.head?.moved ?? served?.size ?? 0) / fullWidth))
    const verified = await check({ source, ahead, verifier, tally, saved, served, stored })
    await checkGone(open, tally)
    return verified
  } catch (thrown) {
    const fault = faultOf(thrown)
    if (fault === undefined) throw thrown
    return { ok: false, ...fault, goodRecords: tally.edge.size }
  } finally {
    await ahead?.close()
    source?.close()
  }
}

interface Tally {
  /** Of what was found good so far. */
  edge: Edge
  bytes: number
  pruned: number
  interrupted: number
  open: Set<string>
  explained: Explained
}

/** That the log says of each record that is gone that it would go. The service may have said so while the others were read. */
async function checkGone(open: () => Promise<LogSource | undefined>, tally: Tally): Promise<void> {
  const { explained, edge } = tally
  if (explained.missing() === undefined) return
  const source = await open()
  try {
    const size = source?.head?.size ?? 0
    for (let index = Math.floor(edge.size / fullWidth); source !== undefined && index * fullWidth < size; index += 1) {
      const entries = await readBundle(source, index, widthAt(size, 0, index))
      for (const entry of entries.slice(Math.max(0, edge.size - index * fullWidth))) {
        if (entry !== undefined) takePruned(tally, entry)
      }
    }
  } finally {
    source?.close()
  }
  const missing = explained.missing()
  if (missing === undefined) return
  const { index, count } = missing
  const path = tilePath({ level: 'entries', index: Math.floor(index / fullWidth), width: fullWidth })
  throw found('missing', `Only the hash is left of ${count} more ${count === 1 ? 'record' : 'records'} than the log says were dropped because of their age (log.pruned); the last that is gone is record ${index}.`, { index, path })
}

interface Check {
  source: LogSource
  ahead: Pick<AheadChecks, 'take'> | undefined
  verifier: NoteVerifier | undefined
  tally: Tally
  saved: readonly SavedCheckpoint[] | undefined
  served: Published | undefined
  stored: Published | undefined
}

async function check({ source, ahead, verifier, tally, saved, served, stored }: Check): Promise<Verified> {
  const size = source.head?.size ?? served?.size ?? 0
  for (const one of saved ?? []) {
    if (one.size > size) throw found('wrong_checkpoint', `${one.file} was signed of ${one.size} records, and the log has ${size}: records were removed from its end, or it was restored from an old copy.`, { index: size, path: one.file })
    if (one.size === 0 && !edgeRoot(emptyEdge).equals(one.root)) throw otherTree(0, one.file)
  }
  let nextSaved = saved?.findIndex((one) => one.size > 0) ?? -1
  for (const published of [served, stored]) if (published?.size === 0 && !edgeRoot(emptyEdge).equals(published.root)) throw otherTree(0)
  for (let index = 0; index * fullWidth < size; index += 1) {
    const width = widthAt(size, 0, index)
    // Where a checkpoint's tree ends, more is looked at than the bundle.
    const endsHere = [served, stored, saved?.[nextSaved]].some((one) => one !== undefined && one.size > index * fullWidth && one.size <= (index + 1) * fullWidth)
    const checked = await ahead?.take(index)
    if (checked !== undefined && !endsHere) {
      takeBundle(tally, checked.good)
      tally.edge = await extendChecked(source, tally.edge, checked.hashes)
      continue
    }
    const entries = await readBundle(source, index, width)
    const hashes = await leafHashesOf(source, index, entries)
    if (width === fullWidth) await checkFullTile(source, { index, hashes, entries, served })
    entries.forEach((entry, at) => takeRecord(tally, index * fullWidth + at, entry))
    const before = tally.edge
    const edge = await extendChecked(source, before, hashes)
    const edgeAt = (published: TreeHead | undefined): Edge | undefined =>
      published === undefined || published.size <= before.size || published.size > edge.size ? undefined : extendEdge(before, hashes.subarray(0, (published.size - before.size) * hashBytes)).edge
    const edgeServed = edgeAt(served)
    if (served !== undefined && edgeServed !== undefined) await checkServed(source, { edge: edgeServed, served, entries })
    const edgeStored = edgeAt(stored)
    if (stored !== undefined && edgeStored !== undefined && !edgeRoot(edgeStored).equals(stored.root)) throw otherTree(stored.size)
    for (let one = saved?.[nextSaved]; one !== undefined && one.size <= edge.size; one = saved?.[nextSaved]) {
      if (!edgeRoot(edgeAt(one) ?? before).equals(one.root)) throw otherTree(one.size, one.file)
      nextSaved += 1
    }
    tally.edge = edge
  }
  const root = edgeRoot(tally.edge)
  if (source.head !== undefined && !root.equals(source.head.root)) {
    const good = stored?.size ?? 0
    throw found('wrong_hash', `The tree of the ${size} records has not the root that the log's database says: one of records ${good} to ${size - 1} was changed, removed or added.`, { index: good, path: databaseName })
  }
  const newest = stored ?? served
  return {
    ok: true,
    records: size,
    bytes: tally.bytes,
    open: tally.open.size,
    interrupted: tally.interrupted,
    pruned: tally.pruned,
    ...(newest === undefined ? {} : { signed: newest.size, origin: newest.origin }),
    ...(saved === undefined ? {} : { heldAgainst: saved.length }),
    keyChecked: newest !== undefined && verifier !== undefined,
    root: root.toString('base64'),
  }
}

/** The tree with more leaves. The tiles above the leaves that they make full are held against what is stored. */
async function extendChecked(source: LogSource, before: Edge, hashes: Uint8Array): Promise<Edge> {
  const { edge, full } = extendEdge(before, hashes)
  for (const tile of full) if (tile.level > 0) await checkStored(source, { ...tile, width: fullWidth }, tile.hashes)
  return edge
}

function takeBundle(tally: Tally, { bytes, interrupted, begun, ended }: GoodBundle): void {
  tally.bytes += bytes
  tally.interrupted += interrupted
  for (const id of ended) tally.open.delete(id)
  for (const id of begun) tally.open.add(id)
}

async function readBundle(source: LogSource, index: number, width: number): Promise<(Uint8Array | undefined)[]> {
  const path = tilePath({ level: 'entries', index, width })
  const first = index * fullWidth
  const bytes = await source.bundle({ level: 'entries', index, width })
  if (bytes === undefined) throw found('missing', `${path} is missing, with records ${first} to ${first + width - 1}.`, { index: first, path })
  return decodeEntries(bytes, { index, width }, path)
}

function decodeEntries(bytes: Uint8Array, { index, width }: { index: number; width: number }, path: string): (Uint8Array | undefined)[] {
  try {
    return decodeBundle(bytes, width)
  } catch (thrown) {
    if (!(thrown instanceof MalformedError)) throw thrown
    throw found('malformed', `${path} is malformed: ${thrown.message}.`, { index: index * fullWidth, path })
  }
}

/** Of what is there by itself; of what was pruned from where its hash was kept. */
async function leafHashesOf(source: LogSource, index: number, entries: readonly (Uint8Array | undefined)[]): Promise<Buffer> {
  const hashes = Buffer.allocUnsafe(entries.length * hashBytes)
  let kept: Uint8Array | undefined
  for (const [at, entry] of entries.entries()) {
    if (entry !== undefined) {
      hashLeaf(entry, hashes, at * hashBytes)
      continue
    }
    kept ??= await source.tile({ level: 0, index, width: entries.length })
    const hash = source.prunedHash(index * fullWidth + at) ?? kept?.subarray(at * hashBytes, (at + 1) * hashBytes)
    const path = tilePath({ level: 0, index, width: entries.length })
    if (hash?.length !== hashBytes) throw found('missing', `${path} is missing or too short, with the hash of record ${index * fullWidth + at}, which was pruned.`, { index: index * fullWidth + at, path })
    hashes.set(hash, at * hashBytes)
  }
  return hashes
}

interface FullTileCheck {
  index: number
  hashes: Buffer
  entries: readonly (Uint8Array | undefined)[]
  served: Published | undefined
}

/** The tile of 256 entries against what they hash to. */
async function checkFullTile(source: LogSource, { index, hashes, entries, served }: FullTileCheck): Promise<void> {
  const place = { level: 0, index, width: fullWidth }
  const path = tilePath(place)
  const first = index * fullWidth
  const tile = await source.tile(place)
  if (tile === undefined) throw found('missing', `${path} is missing, the hashes of records ${first} to ${first + fullWidth - 1}.`, { index: first, path })
  if (tile.length !== hashes.length) throw found('malformed', `${path} has ${tile.length} bytes, not ${hashes.length}.`, { index: first, path })
  const at = firstDifference(tile, hashes)
  if (at !== undefined) {
    // Which of both is the one that was written, the tile above tells.
    const above = await hashAbove(source, index, served)
    if (above !== undefined && perfectRoot(hashes).equals(above)) throw found('wrong_hash', `${path} is wrong at place ${at}: it has another hash than record ${first + at}.`, { index: first + at, path })
    throw found('changed', `Record ${first + at} was changed: it has not the hash that ${path} says.`, { index: first + at, path: tilePath({ ...place, level: 'entries' }) })
  }
  const pruned = entries.indexOf(undefined)
  if (pruned === -1) return
  // A hash that no entry vouches for: the tile above does.
  const above = await hashAbove(source, index, served)
  if (above !== undefined && !perfectRoot(hashes).equals(above)) {
    throw found('wrong_hash', `${path} is wrong, at the place of a record that was pruned (the first is ${first + pruned}): the tile above has another hash for it.`, { index: first + pruned, path })
  }
}

/** What stands for a full tile of level 0 one level up, as far as that is stored. */
async function hashAbove(source: LogSource, index: number, served: Published | undefined): Promise<Uint8Array | undefined> {
  const parent = Math.floor(index / fullWidth)
  const width = served === undefined ? 0 : widthAt(served.size, 1, parent)
  const tile = (await source.tile({ level: 1, index: parent, width: fullWidth })) ?? (width === 0 ? undefined : await source.tile({ level: 1, index: parent, width }))
  const at = (index % fullWidth) * hashBytes
  const hash = tile?.subarray(at, at + hashBytes)
  return hash?.length === hashBytes ? hash : undefined
}

/** The checkpoint that the folder is served with, and the partial tiles and the bundle of its size. `entries` are those of its last bundle. */
async function checkServed(source: LogSource, { edge, served, entries }: { edge: Edge; served: Published; entries: readonly (Uint8Array | undefined)[] }): Promise<void> {
  const isSame = edgeRoot(edge).equals(served.root)
  for (const place of partialTiles(edge.size)) {
    const hashes = edgeTile(edge, place.level) ?? Buffer.alloc(0)
    // Where the log has gone on and made it full, only the full one stays, which was or will be checked.
    const stored = (await source.tile(place)) ?? (await source.tile({ ...place, width: fullWidth }))?.subarray(0, hashes.length)
    const at = stored?.length === hashes.length ? firstDifference(stored, hashes) : undefined
    if (at !== undefined && place.level === 0 && !isSame) {
      const index = place.index * fullWidth + at
      throw found('changed', `Record ${index} was changed: it has not the hash that ${tilePath(place)} says.`, { index, path: tilePath({ ...place, level: 'entries' }) })
    }
    checkHashes(place, stored, hashes)
  }
  if (!isSame) throw otherTree(served.size)
  const last = { level: 'entries' as const, index: Math.floor(edge.size / fullWidth), width: edge.size % fullWidth }
  if (last.width === 0 || source.head === undefined) return
  const path = tilePath(last)
  const file = await source.file(path)
  if (file === undefined) {
    if ((await source.file(tilePath({ ...last, width: fullWidth }))) === undefined) throw found('missing', `${path} is missing.`, { index: last.index * fullWidth, path })
    return
  }
  const copies = decodeEntries(file, last, path)
  const at = copies.findIndex((copy, place) => copy !== undefined && entries[place] !== undefined && Buffer.compare(copy, entries[place]) !== 0)
  if (at !== -1) throw found('changed', `Record ${last.index * fullWidth + at} was changed in ${path}.`, { index: last.index * fullWidth + at, path })
}

async function checkStored(source: LogSource, place: TilePlace, hashes: Uint8Array): Promise<void> {
  checkHashes(place, await source.tile(place), hashes)
}

function checkHashes(place: TilePlace, tile: Uint8Array | undefined, hashes: Uint8Array): void {
  const path = tilePath(place)
  const first = place.index * fullWidth ** (place.level + 1)
  if (tile === undefined) throw found('missing', `${path} is missing.`, { index: first, path })
  if (tile.length !== hashes.length) throw found('malformed', `${path} has ${tile.length} bytes, not ${hashes.length}.`, { index: first, path })
  const at = firstDifference(tile, hashes)
  if (at === undefined) return
  const span = fullWidth ** place.level
  const below = first + at * span
  const what = place.level === 0 ? `record ${below} has another hash` : `records ${below} to ${below + span - 1} have another one, or were replaced together with their hashes`
  throw found('wrong_hash', `${path} is wrong at place ${at}: ${what}.`, { index: below, path })
}

function takeRecord(tally: Tally, index: number, entry: Uint8Array | undefined): void {
  if (entry === undefined) {
    tally.pruned += 1
    tally.explained.gone(index)
    return
  }
  const record = glanceAt(entry)
  if (record === undefined) throw found('malformed', `Entry ${index} is no record of this version.`, { index, path: tilePath({ level: 'entries', index: Math.floor(index / fullWidth), width: fullWidth }) })
  tally.bytes += entry.length
  if (record.type === 'log.pruned') takePruned(tally, entry)
  if (record.requestId === undefined) return
  if (record.type === 'request.begin') tally.open.add(record.requestId)
  if (record.type !== 'request.end') return
  tally.open.delete(record.requestId)
  if (record.outcome === 'interrupted') tally.interrupted += 1
}

function takePruned({ explained }: Tally, entry: Uint8Array): void {
  const record = decodeRecord(entry)
  if (record !== undefined) explained.record(record)
}

function otherTree(size: number, path = checkpointPath): FaultFound {
  return found('wrong_checkpoint', `The tree of the first ${size} records is not the one that ${path === checkpointPath ? 'the checkpoint' : path} says: records were changed, removed or added, and all hashes with them.`, { path })
}

function firstDifference(a: Uint8Array, b: Uint8Array): number | undefined {
  if (Buffer.compare(a, b) === 0) return undefined
  for (let at = 0; ; at += 1) if (Buffer.compare(a.subarray(at * hashBytes, (at + 1) * hashBytes), b.subarray(at * hashBytes, (at + 1) * hashBytes)) !== 0) return at
}

function faultOf(thrown: unknown): Fault | undefined {
  if (thrown instanceof FaultFound) return thrown.fault
  const damaged = thrown instanceof DatabaseUnusableError || (thrown instanceof Error && 'errcode' in thrown && (thrown.errcode === 11 || thrown.errcode === 26))
  return damaged ? { kind: 'malformed', path: databaseName, message: `${databaseName} is damaged: ${thrown.message}` } : undefined
}

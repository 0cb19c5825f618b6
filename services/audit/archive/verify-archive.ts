import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { openCheckpoint, parseCheckpoint, type OpenedCheckpoint } from '../tlog/checkpoint.ts'
import { MalformedError } from '../tlog/malformed.ts'
import { leafHash } from '../tlog/merkle.ts'
import { ed25519Verifier, parseNote, UnverifiedError } from '../tlog/note.ts'
import { archiveFiles, parseAbout, parseRecordLine } from './archive-file.ts'
import { type ProvenTiles, proveTiles, TileFault } from './prove-tiles.ts'

export interface VerifiedArchive {
  ok: true
  /** Name of the log. */
  origin: string
  /** Entries of the tree that the checkpoint is of. */
  size: number
  records: number
  /** Of an archive of all teams, indexes between its first and its end that have no record: pruned, or of another time. */
  absent: number
  team: string
  /** Whether the key was one that the caller trusts, or only the archive's own. */
  trusted: boolean
}

export interface ArchiveFault {
  ok: false
  kind: 'malformed' | 'signature' | 'tile' | 'record' | 'order' | 'count'
  /** File, and line from 1 where there is one. */
  place: string
  message: string
}

/**
 * Checks an archive with nothing but what is in it and a key: the signature of its checkpoint, the tiles against the root, each record
 * against its hash. Tells the first fault. `vkey` is the key that is trusted; without it the archive's own is taken, which shows only that
 * the archive fits together. Throws the file system's errors for files that can't be read.
 */
export async function verifyArchive(folder: string, vkey?: string): Promise<VerifiedArchive | ArchiveFault> {
  try {
    return await verify(folder, vkey)
  } catch (thrown) {
    if (thrown instanceof Fault) return { ok: false, kind: thrown.kind, place: thrown.place, message: thrown.message }
    if (thrown instanceof TileFault) return { ok: false, kind: 'tile', place: thrown.path, message: `${thrown.message}.` }
    throw thrown
  }
}

class Fault extends Error {
  readonly kind: ArchiveFault['kind']
  readonly place: string

  constructor(kind: ArchiveFault['kind'], place: string, message: string) {
    super(message)
    this.kind = kind
    this.place = place
  }
}

async function verify(folder: string, vkey: string | undefined): Promise<VerifiedArchive> {
  const about = parseAbout(await readFile(join(folder, archiveFiles.about), 'utf8'))
  if (about === undefined) throw new Fault('malformed', archiveFiles.about, 'It does not tell of an archive of this kind and version.')
  const checkpoint = await openedCheckpoint(folder, vkey)
  if (checkpoint.size !== about.size) throw new Fault('malformed', archiveFiles.about, 'It tells of a tree of another size than the checkpoint.')
  const tiles = await proveTiles(checkpoint, (path) => readIfThere(join(folder, path)))
  const records = await verifyRecords(join(folder, archiveFiles.records), tiles, about)
  if (records !== about.records) throw new Fault('count', archiveFiles.records, `It has ${records} records; ${archiveFiles.about} tells of ${about.records}.`)
  return {
    ok: true,
    origin: checkpoint.origin,
    size: checkpoint.size,
    records,
    absent: about.team === '' ? about.toIndex - about.fromIndex - records : 0,
    team: about.team,
    trusted: vkey !== undefined,
  }
}

async function openedCheckpoint(folder: string, vkey: string | undefined): Promise<OpenedCheckpoint> {
  const note = await readFile(join(folder, archiveFiles.checkpoint), 'utf8')
  try {
    const key = vkey ?? (await readFile(join(folder, archiveFiles.vkey), 'utf8')).trim()
    // The key's own name is not the log's: any log of it would do. Which one it is, is told.
    const { origin } = parseCheckpoint(parseNote(note).text)
    return openCheckpoint(note, { origin, log: [ed25519Verifier(key)] })
  } catch (thrown) {
    if (thrown instanceof MalformedError) throw new Fault('malformed', archiveFiles.checkpoint, `It, or the key, is malformed: ${thrown.message}.`)
    if (thrown instanceof UnverifiedError) throw new Fault('signature', archiveFiles.checkpoint, `It is not signed with the key: ${thrown.message}.`)
    throw thrown
  }
}

async function verifyRecords(file: string, tiles: ProvenTiles, { size, fromIndex, toIndex }: { size: number; fromIndex: number; toIndex: number }): Promise<number> {
  const lines = createInterface({ input: createReadStream(file, 'latin1'), crlfDelay: Infinity })
  let records = 0
  let last = -1
  for await (const line of lines) {
    records += 1
    const place = `${archiveFiles.records}, line ${records}`
    const read = parseRecordLine(line)
    if (read === undefined) throw new Fault('malformed', place, 'It is no record behind its index.')
    const { index, record } = read
    if (index <= last) throw new Fault('order', place, `Record ${index} stands behind record ${last}.`)
    if (index >= size || index < fromIndex || index >= toIndex) throw new Fault('order', place, `Record ${index} is not of the part of the log that the archive is of.`)
    last = index
    if (!leafHash(Buffer.from(record, 'latin1')).equals(await tiles.leaf(index))) throw new Fault('record', place, `Record ${index} is not the one that was logged.`)
  }
  return records
}

async function readIfThere(file: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(file)
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return undefined
    throw thrown
  }
}

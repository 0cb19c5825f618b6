import { type FileHandle, mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { ExportHead, ExportPart, LoggedRecord } from '../../../proto/gen/intramuros/v1/audit_read.ts'
import { type About, archiveFiles, recordLine } from '../../audit/archive/archive-file.ts'
import { encodeBundle } from '../../audit/tlog/bundle.ts'
import { parseCheckpoint } from '../../audit/tlog/checkpoint.ts'
import { parseNote } from '../../audit/tlog/note.ts'
import { fullWidth, tilePath, widthAt } from '../../audit/tlog/tile-path.ts'
import { StartError } from '../../../deploy/local/start-error.ts'
import { createRecordTables } from './record-tables.ts'

export interface ArchiveOptions {
  /** Where it is to be: a folder that is not there yet, or is empty. */
  folder: string
  /** What was asked for; empty: all. */
  team: string
  from: string
  to: string
}

/**
 * Writes an archive from what the ledger sends. It is made beside its place and moved there once it is whole. Throws a StartError when
 * something else is there.
 */
export async function writeArchive(parts: AsyncIterable<ExportPart>, { folder, team, from, to }: ArchiveOptions): Promise<About> {
  if (((await readdir(folder).catch(ifMissing)) ?? []).length > 0) throw new StartError(`${folder} is there already, and is not empty.`)
  const draft = `${folder}.partial`
  await rm(draft, { recursive: true, force: true })
  await mkdir(draft, { recursive: true, mode: 0o700 })
  const files: FileHandle[] = []
  const create = async (name: string): Promise<FileHandle> => {
    const file = await open(join(draft, name), 'wx', 0o600)
    files.push(file)
    return file
  }
  try {
    const records = await create(archiveFiles.records)
    const requests = await create(archiveFiles.requests)
    const others = await create(archiveFiles.others)
    const tables = createRecordTables()
    await requests.writeFile(tables.requestsHead)
    await others.writeFile(tables.othersHead)
    let head: { sent: ExportHead; size: number } | undefined
    let bundles: BundleWriter | undefined
    let count = 0
    for await (const { part } of parts) {
      if (part?.$case === 'head') {
        head = { sent: part.value, size: parseCheckpoint(parseNote(part.value.checkpoint).text).size }
        const whole = team === '' && from === '' && to === ''
        if (whole) bundles = createBundleWriter(draft, head.size)
      } else if (part?.$case === 'records') {
        count += part.value.records.length
        await records.writeFile(part.value.records.map(({ index, record }) => recordLine(Number(index), record.toString('latin1'))).join(''), 'latin1')
        const lines = tables.add(part.value.records)
        await requests.writeFile(lines.requests)
        await others.writeFile(lines.others)
        await bundles?.add(part.value.records)
      } else if (part?.$case === 'tile') {
        await writeInto(draft, part.value.path, part.value.content)
      }
    }
    if (head === undefined) throw new Error('the ledger sent no checkpoint')
    await requests.writeFile(tables.rest())
    await bundles?.end()
    const about: About = {
      format: 'intramuros-audit-archive', version: 1, size: head.size, fromIndex: Number(head.sent.fromIndex), toIndex: Number(head.sent.toIndex), team, from, to, records: count,
    }
    await writeFile(join(draft, archiveFiles.checkpoint), head.sent.checkpoint, { mode: 0o600 })
    await writeFile(join(draft, archiveFiles.vkey), `${head.sent.vkey}\n`, { mode: 0o600 })
    await writeFile(join(draft, archiveFiles.about), `${JSON.stringify(about, undefined, 2)}\n`, { mode: 0o600 })
    for (const file of files) await file.sync()
    await Promise.all(files.splice(0).map((file) => file.close()))
    await rm(folder, { recursive: true, force: true })
    await rename(draft, folder)
    return about
  } catch (thrown) {
    await Promise.all(files.map((file) => file.close()))
    await rm(draft, { recursive: true, force: true })
    throw thrown
  }
}

/** Of a whole log, its bundles of entries too: then the archive is a log in the layout of tlog-tiles. */
interface BundleWriter {
  add(records: readonly LoggedRecord[]): Promise<void>
  end(): Promise<void>
}

function createBundleWriter(folder: string, size: number): BundleWriter {
  let entries: (Uint8Array | undefined)[] = []
  let bundle = 0

  async function writeNext(): Promise<void> {
    const width = widthAt(size, 0, bundle)
    // What was pruned was not sent.
    while (entries.length < width) entries.push(undefined)
    await writeInto(folder, tilePath({ level: 'entries', index: bundle, width }), encodeBundle(entries))
    entries = []
    bundle += 1
  }

  return {
    async add(records) {
      for (const { index, record } of records) {
        while (Math.floor(Number(index) / fullWidth) > bundle) await writeNext()
        const place = Number(index) % fullWidth
        while (entries.length < place) entries.push(undefined)
        entries[place] = record
      }
    },
    async end() {
      while (widthAt(size, 0, bundle) > 0) await writeNext()
    },
  }
}

async function writeInto(folder: string, path: string, content: Uint8Array): Promise<void> {
  const file = join(folder, path)
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  await writeFile(file, content, { mode: 0o600 })
}

function ifMissing(thrown: unknown): undefined {
  if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return undefined
  throw thrown
}

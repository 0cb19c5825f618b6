import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { decodeBundle } from '../../services/audit/tlog/bundle.ts'
import { openCheckpoint } from '../../services/audit/tlog/checkpoint.ts'
import { ed25519Signer, ed25519Verifier, parseNote } from '../../services/audit/tlog/note.ts'
import { makeNoteKey } from '../../services/audit/tlog/note-key.ts'
import { proveInclusion, type ReadTile } from '../../services/audit/tlog/proofs.ts'
import { tilePath, widthAt } from '../../services/audit/tlog/tile-path.ts'
import { formatTlogProof } from '../../services/audit/tlog/tlog-proof.ts'
import { type OutsideTools, outsideTools } from '../support/outside-tools.ts'
import { sampleRecords } from '../support/sample-records.ts'
import { writeLog } from '../support/write-log.ts'
import { runFsck } from './run-fsck.ts'
import { serveFolder } from './serve-folder.ts'

const origin = 'ledger.hospital.example/audit'
const records = 100_000
/** A whole log takes it a second or two. */
const fsckMs = 60_000

const key = makeNoteKey(origin)
const log = { origin, signer: ed25519Signer(key.skey) }
const stops: (() => Promise<unknown>)[] = []
let tools: OutsideTools
let keyFile: string
let large: Log
let small: Log

interface Log {
  folder: string
  url: string
  /** Much longer than fsck takes for it: it hangs on some faults. */
  faultMs: number
  size: number
  checkpoint: string
}

async function makeLog(count: number): Promise<Log> {
  const folder = await mkdtemp(join(tmpdir(), 'outside-log-'))
  stops.push(() => rm(folder, { recursive: true }))
  const { size, checkpoint } = await writeLog(folder, sampleRecords(count), log)
  const { url, stop } = await serveFolder(folder)
  stops.push(stop)
  const start = Date.now()
  const { verdict, log: said } = await runFsck(tools.fsck, { url, keyFile, timeoutMs: fsckMs })
  expect(verdict, said).toBe('good')
  return { folder, url, size, checkpoint, faultMs: Math.max(3000, 10 * (Date.now() - start)) }
}

beforeAll(async () => {
  tools = await outsideTools()
  const keys = await mkdtemp(join(tmpdir(), 'outside-key-'))
  stops.push(() => rm(keys, { recursive: true }))
  keyFile = join(keys, 'log.vkey')
  await writeFile(keyFile, key.vkey)
  large = await makeLog(records)
  small = await makeLog(4764)
})
afterAll(async () => {
  for (const stop of stops.toReversed()) await stop()
})

test('fsck finds a log of 100,000 records whole', async () => {
  expect(large.size).toBe(records)
  const { verdict, log } = await runFsck(tools.fsck, { url: large.url, keyFile, timeoutMs: fsckMs })
  expect(verdict, log).toBe('good')
  expect(log).toContain(`size ${records}`)
})

test('fsck does not take the log for that of another key or another name', async () => {
  for (const name of [origin, 'ledger.hospital.example/other']) {
    const other = join(keyFile, '..', 'other.vkey')
    await writeFile(other, makeNoteKey(name).vkey)
    expect((await runFsck(tools.fsck, { url: small.url, keyFile: other, timeoutMs: fsckMs })).verdict).toBe('fault found')
  }
})

function tilesOf({ folder }: Log): ReadTile {
  return async (level, index, width) => await readFile(join(folder, tilePath({ level, index, width })))
}

async function recordOf({ folder, size }: Log, index: number): Promise<Uint8Array> {
  const bundle = Math.floor(index / 256)
  const width = widthAt(size, 0, bundle)
  const entry = decodeBundle(await readFile(join(folder, tilePath({ level: 'entries', index: bundle, width }))), width)[index % 256]
  if (entry === undefined) throw new Error(`record ${index} is not there`)
  return entry
}

test('the receipts of records all over the log verify, and those of other records don\'t', async () => {
  const places = [0, 1, 255, 256, 65_535, 65_536, records - 1, ...Array.from({ length: 500 }, (_, at) => Math.floor(((at * 0.618_033_988_75) % 1) * records))]
  const receipts = await Promise.all(
    places.map(async (index) => {
      const record = await recordOf(large, index)
      return { record: Buffer.from(record).toString('base64'), proof: formatTlogProof({ index, proof: await proveInclusion(index, large.size, tilesOf(large)), checkpoint: large.checkpoint, extra: record }) }
    }),
  )
  expect(new Set(await tools.outside<string[]>(['receipts', key.vkey, origin], receipts))).toEqual(new Set(['']))
  const swapped = receipts.map(({ proof }, at) => ({ proof, record: receipts[(at + 1) % receipts.length]?.record }))
  expect(await tools.outside<string[]>(['receipts', key.vkey, origin], swapped)).not.toContain('')
})

async function flip(path: string, bit: number): Promise<() => Promise<void>> {
  const good = await readFile(path)
  const bad = Buffer.from(good)
  bad[bit >> 3] = (bad[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  await writeFile(path, bad)
  return async () => await writeFile(path, good)
}

test('a flipped bit of any kind of file is found by fsck', async () => {
  const last = Math.floor(small.size / 256)
  const width = small.size % 256
  const places = [
    // The length of the first entry, its first byte; somewhere in a full bundle; the last one's end.
    ...[1, 2 * 8 + 1, 40_000].map((bit) => ({ path: tilePath({ level: 'entries', index: 0, width: 256 }), bit })),
    { path: tilePath({ level: 'entries', index: last, width }), bit: 999 },
    { path: tilePath({ level: 0, index: 0, width: 256 }), bit: 0 },
    { path: tilePath({ level: 0, index: 7, width: 256 }), bit: 8191 * 8 + 7 },
    { path: tilePath({ level: 0, index: last, width }), bit: 32 * 8 * (width - 1) },
    { path: tilePath({ level: 1, index: 0, width: last }), bit: 32 * 8 * (last - 1) + 5 },
  ]
  for (const { path, bit } of places) {
    const restore = await flip(join(small.folder, path), bit)
    const { verdict } = await runFsck(tools.fsck, { url: small.url, keyFile, timeoutMs: small.faultMs })
    await restore()
    expect(verdict, `bit ${bit} of ${path}`).not.toBe('good')
  }
  // All was as before but for the bits.
  expect((await runFsck(tools.fsck, { url: small.url, keyFile, timeoutMs: fsckMs })).verdict).toBe('good')
})

test('a flipped bit in an entry, a tile and the checkpoint of the log of 100,000 is found', async () => {
  for (const [path, bit] of [
    [tilePath({ level: 'entries', index: 300, width: 256 }), 12_345],
    [tilePath({ level: 1, index: 0, width: 256 }), 77],
    ['checkpoint', origin.length * 8 + 12],
  ] as const) {
    const restore = await flip(join(large.folder, path), bit)
    const { verdict } = await runFsck(tools.fsck, { url: large.url, keyFile, timeoutMs: large.faultMs })
    await restore()
    expect(verdict, path).not.toBe('good')
  }
})

test('no bit of the checkpoint can be another', async () => {
  const good = Buffer.from(large.checkpoint)
  const { text, signatures } = parseNote(large.checkpoint)
  const flipped = Array.from({ length: good.length * 8 }, (_, bit) => {
    const bad = Buffer.from(good)
    bad[bit >> 3] = (bad[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    return { note: bad.toString(), keys: [key.vkey], text }
  })
  expect(await tools.outside<string[]>(['open-notes'], [{ note: large.checkpoint, keys: [key.vkey], text }])).toEqual([''])
  const verdicts = await tools.outside<string[]>(['open-notes'], flipped)
  const passed = flipped.filter((_, at) => verdicts[at] === '')
  // Go reads base64 whose unused last bits are not 0: the same signature in another spelling, which we refuse.
  expect(passed.length).toBeLessThanOrEqual(2)
  for (const { note } of passed) {
    const line = /— \S+ (\S+)\n$/.exec(note)?.[1] ?? ''
    expect(Buffer.from(line, 'base64').subarray(4)).toEqual(signatures[0]?.signature)
  }
  for (const { note } of flipped) expect(() => openCheckpoint(note, { origin, log: [ed25519Verifier(key.vkey)] })).toThrow(/./)
})

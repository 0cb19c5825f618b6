import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openTestLog, refusal } from '../test-support/open-test-log.ts'
import { decodeBundle, encodeBundle } from '../tlog/bundle.ts'
import { hashBytes, leafHash } from '../tlog/merkle.ts'
import { readIfThere } from '../store/folder/place-file.ts'
import { fullWidth, tilePath } from '../tlog/tile-path.ts'
import type { AheadChecks } from './check-ahead.ts'
import { checkBundle } from './check-bundle.ts'
import { verifyFolder } from './verify-folder.ts'

let home: string
let vkey: string
/** A closed log of 1000 records: three full bundles, the rest in the database; the second and the last but one are pruned. */
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'audit-verify-'))
  const log = await openTestLog(home)
  for (const [first, count] of [[1, 300], [301, 299], [600, 398]] as const) await log.append(Array.from({ length: count }, (_, at) => refusal(`r${first + at}`)))
  await log.store.prune([1, 997])
  await log.checkpointOf(log.size)
  await log.append([{ type: 'log.pruned', class: 'security', before: '2026-01-01T00:00:00.000Z', from: 0, to: 998, entries: 2 }])
  vkey = log.signer.vkey
  await log.close()
})
afterAll(() => rm(home, { recursive: true }))

let serial = 0
/** A copy of the log that the test may spoil. */
function copy(): string {
  const folder = join(home, `copy-${serial++}`)
  cpSync(join(home, 'audit'), folder, { recursive: true })
  return folder
}

function filesOf(folder: string, under = ''): string[] {
  return readdirSync(join(folder, under), { withFileTypes: true }).flatMap((entry) => {
    const path = under === '' ? entry.name : `${under}/${entry.name}`
    return entry.isDirectory() ? filesOf(folder, path) : [path]
  })
}

/** What only the writer has: a copy without these is what a web server serves. */
const ofWriter = (path: string): boolean => path.startsWith('log.sqlite') || path === 'lock' || path.startsWith('tmp')

function served(): string {
  const folder = copy()
  for (const path of filesOf(folder)) if (ofWriter(path)) rmSync(join(folder, path))
  return folder
}

/** As check-ahead.ts, here and now. */
function lookAhead(folder: string, bundles: number): { take: AheadChecks['take']; close: AheadChecks['close']; taken: () => number } {
  let taken = 0
  return {
    async take(index) {
      const [tile, bundle] = ([0, 'entries'] as const).map((level) => readIfThere(join(folder, tilePath(level === 0 ? { level, index, width: fullWidth } : { level, index, width: fullWidth }))))
      const good = index < bundles && tile !== undefined && bundle !== undefined ? checkBundle(bundle, tile) : undefined
      if (tile === undefined || good === undefined) return undefined
      taken += 1
      return { good, hashes: tile }
    },
    close: () => Promise.resolve(),
    taken: () => taken,
  }
}

describe('a log that nobody touched', () => {
  test('verifies, with its key and without', async () => {
    const all = { ok: true, records: 1000, signed: 1000, pruned: 2, open: 0, interrupted: 0 }
    expect(await verifyFolder(copy(), { vkey })).toMatchObject({ ...all, keyChecked: true })
    expect(await verifyFolder(copy())).toMatchObject({ ...all, keyChecked: false })
  })

  test('verifies the same when bundles were looked at ahead', async () => {
    let ahead: ReturnType<typeof lookAhead> | undefined
    const result = await verifyFolder(copy(), { vkey }, (...about) => (ahead = lookAhead(...about)))
    expect(result).toEqual(await verifyFolder(copy(), { vkey }))
    expect(ahead?.taken()).toBe(2) // the third has a pruned record
  })

  test('verifies as it is served, without the database of its writer', async () => {
    expect(await verifyFolder(served(), { vkey })).toMatchObject({ ok: true, records: 1000, pruned: 2 })
  })

  test('can be verified while it is written', async () => {
    const place = join(home, 'live')
    const log = await openTestLog(place, { checkpointMs: 5 })
    let writing = true
    const lanes = Array.from({ length: 8 }, async (_, lane) => {
      for (let turn = 0; writing; turn += 1) await log.append(Array.from({ length: 20 }, (__, at) => refusal(`${lane}-${turn}-${at}`)))
    })
    try {
      for (let check = 0; check < 15; check += 1) expect(await verifyFolder(join(place, 'audit'), { vkey: log.signer.vkey })).toMatchObject({ ok: true })
    } finally {
      writing = false
      await Promise.all(lanes)
      await log.close()
    }
  })

  test('no log is NOT_FOUND', async () => {
    await expect(verifyFolder(join(home, 'nowhere'))).rejects.toMatchObject({ code: 'NOT_FOUND', reason: 'no_log' })
  })
})

describe('finds', () => {
  test('any bit that is flipped in any file, and names the file or the record', { timeout: 120_000 }, async () => {
    for (const [folder, forWhom] of [[copy(), 'with the database'], [served(), 'as served']] as const) {
      const files = filesOf(folder).filter((path) => !ofWriter(path))
      await fc.assert(
        fc.asyncProperty(fc.constantFrom(...files), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), fc.nat(7), async (path, where, bit) => {
          const file = join(folder, path)
          const before = readFileSync(file)
          const spoilt = Buffer.from(before)
          const offset = Math.floor(where * spoilt.length)
          spoilt[offset] = (spoilt[offset] ?? 0) ^ (1 << bit)
          writeFileSync(file, spoilt)
          try {
            const result = await verifyFolder(folder, { vkey })
            expect(await verifyFolder(folder, { vkey }, lookAhead), 'looked at ahead').toEqual(result)
            // Partial files of checkpoints before the newest are no part of the log any more.
            const superseded = /\.p\//.test(path) && !/\/(001|003)\.p\/(3|232)$|tile\/1\/000\.p\/3$/.test(path)
            if (superseded) return
            expect(result, `${path} ${offset} ${forWhom}`).toMatchObject({ ok: false })
            if (!result.ok) expect(result.path, result.message).toBeDefined()
          } finally {
            writeFileSync(file, before)
          }
        }),
        { numRuns: 150 },
      )
    }
  })

  test.each(['tile/0/001', 'tile/entries/002', 'tile/0/003.p/232', 'tile/entries/003.p/232', 'tile/1/000.p/3'])('that %s was removed', async (path) => {
    const folder = copy()
    rmSync(join(folder, path))
    expect(await verifyFolder(folder, { vkey })).toMatchObject({ ok: false, kind: 'missing', path })
  })

  test('a record that was changed, and says which', async () => {
    const folder = copy()
    change(join(folder, 'tile/entries/001'), 300 - 256)
    expect(await verifyFolder(folder, { vkey })).toMatchObject({ ok: false, kind: 'changed', index: 300, path: 'tile/entries/001', goodRecords: 256 })
  })

  test('a record that was made to look dropped for its age', async () => {
    for (const [path, place] of [['tile/entries/001', 300 - 256], ['tile/entries/000', 2]] as const) {
      const folder = copy()
      const entries = decodeBundle(readFileSync(join(folder, path)))
      entries[place] = undefined
      writeFileSync(join(folder, path), encodeBundle(entries))
      const found = await verifyFolder(folder, { vkey })
      expect(found).toMatchObject({ ok: false, kind: 'missing' })
      expect(!found.ok && found.message).toContain('1 more record than the log says')
    }
  })

  test('a record that was changed together with its hash', async () => {
    const folder = copy()
    const entry = change(join(folder, 'tile/entries/001'), 300 - 256)
    const tile = readFileSync(join(folder, 'tile/0/001'))
    leafHash(entry).copy(tile, (300 - 256) * hashBytes)
    writeFileSync(join(folder, 'tile/0/001'), tile)
    expect(await verifyFolder(folder, { vkey })).toMatchObject({ ok: false })
  })

  test('a hash that was changed', async () => {
    const folder = copy()
    const tile = readFileSync(join(folder, 'tile/0/001'))
    tile[40 * hashBytes] = (tile[40 * hashBytes] ?? 0) ^ 1
    writeFileSync(join(folder, 'tile/0/001'), tile)
    expect(await verifyFolder(folder, { vkey })).toMatchObject({ ok: false, kind: 'wrong_hash', index: 296, path: 'tile/0/001' })
  })

  test('the hash of a pruned record that was changed', async () => {
    const folder = copy()
    const tile = readFileSync(join(folder, 'tile/0/000'))
    tile[hashBytes] = (tile[hashBytes] ?? 0) ^ 1
    writeFileSync(join(folder, 'tile/0/000'), tile)
    expect(await verifyFolder(folder, { vkey })).toMatchObject({ ok: false, kind: 'wrong_hash', path: 'tile/0/000' })
  })

  test('a record that was changed in the database', async () => {
    const folder = copy()
    const database = new DatabaseSync(join(folder, 'log.sqlite'))
    const { first, count, bundle } = database.prepare('SELECT first, count, bundle FROM tail ORDER BY first DESC LIMIT 1').get() ?? {}
    const entries = decodeBundle(bundle as Uint8Array, Number(count))
    entries[0] = Buffer.from(Buffer.from(entries[0] ?? []).toString('latin1').replace('"audit"', '"Audit"'), 'latin1')
    database.prepare('UPDATE tail SET bundle = ? WHERE first = ?').run(encodeBundle(entries), Number(first))
    database.close()
    expect(await verifyFolder(folder, { vkey })).toMatchObject({ ok: false, kind: 'changed', index: Number(first) })
  })

  test('a log whose end was cut off', async () => {
    const folder = copy()
    const older = openHead(folder)
    older.prepare('UPDATE head SET size = 768').run()
    older.close()
    expect(await verifyFolder(folder, { vkey })).toMatchObject({ ok: false, kind: 'wrong_checkpoint', index: 768 })
  })

  test('a checkpoint of another key', async () => {
    const other = join(home, 'other')
    const log = await openTestLog(other)
    await log.close()
    expect(await verifyFolder(copy(), { vkey: log.signer.vkey })).toMatchObject({ ok: false, kind: 'wrong_checkpoint', path: 'checkpoint' })
    expect(statSync(join(other, 'audit-key/log.key')).mode & 0o777).toBe(0o600)
  })
})

function openHead(folder: string): DatabaseSync {
  return new DatabaseSync(join(folder, 'log.sqlite'))
}

/** Changes the entry at a place of a full bundle to another record. */
function change(file: string, place: number): Uint8Array {
  const entries = decodeBundle(readFileSync(file))
  const text = Buffer.from(entries[place] ?? []).toString('latin1')
  const changed = Buffer.from(text.replace('"default"', '"DEFAULT"'), 'latin1')
  expect(changed.toString('latin1')).not.toBe(text)
  entries[place] = changed
  writeFileSync(file, encodeBundle(entries))
  return changed
}

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { sampleRecords } from '../../../test/support/sample-records.ts'
import { writeLog } from '../../../test/support/write-log.ts'
import { checkpointFileName } from '../anchors/checkpoint-file.ts'
import { signCheckpoint } from '../tlog/checkpoint.ts'
import { ed25519Signer } from '../tlog/note.ts'
import { makeNoteKey } from '../tlog/note-key.ts'
import { edgeRoot, emptyEdge, extendEdge } from '../tlog/edge.ts'
import { leafHashes } from '../tlog/merkle.ts'
import { verifyFolder } from './verify-folder.ts'

const origin = 'intramuros.example/audit'
const { skey, vkey } = makeNoteKey(origin)
const signer = ed25519Signer(skey)
const entries = [...sampleRecords(700)]
let folder: string
let saved: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'audit-saved-'))
  saved = join(folder, 'saved')
  await mkdir(saved)
  await writeLog(join(folder, 'log'), entries.slice(0, 600), { origin, signer })
})
afterEach(() => rm(folder, { recursive: true }))

async function save(size: number, of: readonly Uint8Array[] = entries, by = signer): Promise<string> {
  const file = join(saved, checkpointFileName(size))
  await writeFile(file, signCheckpoint({ origin, size, root: edgeRoot(extendEdge(emptyEdge, leafHashes(of.slice(0, size))).edge) }, [by]))
  return file
}

test('a log that contains what was signed in a checkpoint, and in each of a folder', async () => {
  for (const size of [0, 1, 255, 256, 257, 512, 599, 600]) await save(size)
  await writeFile(join(saved, 'README'), 'not one of them')
  expect(await verifyFolder(join(folder, 'log'), { vkey, checkpoints: saved })).toMatchObject({ ok: true, heldAgainst: 8 })
  expect(await verifyFolder(join(folder, 'log'), { vkey, checkpoints: join(saved, checkpointFileName(257)) })).toMatchObject({ ok: true, heldAgainst: 1 })
})

test.each([0, 255, 256, 511, 512, 598])('a log whose record %i was changed, all hashes and the checkpoint with it', async (index) => {
  await save(599)
  await writeLog(join(folder, 'forged'), entries.slice(0, 600).with(index, entries[650] ?? Buffer.alloc(0)), { origin, signer })
  expect(await verifyFolder(join(folder, 'forged'), { vkey })).toMatchObject({ ok: true })
  expect(await verifyFolder(join(folder, 'forged'), { vkey, checkpoints: saved })).toMatchObject({ ok: false, kind: 'wrong_checkpoint', path: join(saved, checkpointFileName(599)) })
})

test('a log that was cut off, a checkpoint of another key, one that is none', async () => {
  const check = () => verifyFolder(join(folder, 'log'), { vkey, checkpoints: saved })
  const file = await save(601)
  expect(await check()).toMatchObject({ ok: false, kind: 'wrong_checkpoint', index: 600, path: file })
  await save(601, entries, ed25519Signer(makeNoteKey(origin).skey))
  expect(await check()).toMatchObject({ ok: false, kind: 'wrong_checkpoint', path: file })
  await writeFile(file, 'x')
  expect(await check()).toMatchObject({ ok: false, kind: 'malformed', path: file })
  await expect(verifyFolder(join(folder, 'log'), { vkey, checkpoints: join(folder, 'nowhere') })).rejects.toMatchObject({ code: 'ENOENT' })
})

import { chmod, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ContentPart, type SealedPiece } from '../../../proto/gen/intramuros/v1/content.ts'
import { type Content, createContent } from './content.ts'

const key = 'hr-1.0123456789abcdef'
const requestId = '11111111-2222-3333-4444-555555555555'
let home: string
let records: object[]
let now: number
let appending: () => void

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'content-'))
  records = []
  now = Date.parse('2026-11-23T12:00:00Z')
  appending = () => undefined
})
afterEach(async () => {
  await chmod(home, 0o700)
  await rm(home, { recursive: true })
})

function content(folder = join(home, 'content')): Content {
  const note = (): void => undefined
  return createContent({
    folder,
    days: 30,
    timeoutMs: 10_000,
    append(entry) {
      appending()
      return Promise.resolve(records.push(entry) - 1)
    },
    clock: () => now,
    log: { debug: note, info: note, warn: note, error: note },
  })
}

function piece(more: Partial<SealedPiece> = {}): SealedPiece {
  return { teamId: 'hr@abc', requestId, part: ContentPart.PROMPT, sequence: 0, final: true, keyId: key, day: '2026-11-23', wrappedKey: Buffer.alloc(60, 1), sealed: Buffer.alloc(100, 2), ...more }
}

function keep(to: Content, more: Partial<SealedPiece> = {}): Promise<number | undefined> {
  const sealed = piece(more)
  return to.keep({ piece: sealed, bytes: sealed.final ? 72n : 0n, fingerprint: Buffer.alloc(sealed.final ? 32 : 0, 0xab) })
}

function read(from: Content, team = 'hr', id = requestId): Promise<SealedPiece[]> {
  return Array.fromAsync(from.read(team, id))
}

async function fileOf(id = requestId): Promise<string> {
  const names = await readdir(join(home, 'content'), { recursive: true })
  return join(home, 'content', names.find((name) => name.endsWith(id)) ?? 'none')
}

test('pieces are read as they were kept, also by another process, and each part that is whole is a record', async () => {
  const kept = content()
  expect(await keep(kept, { final: false, sealed: Buffer.alloc(65_564, 3) })).toBeUndefined()
  expect(await keep(kept, { sequence: 1 })).toBe(0)
  expect(await keep(kept, { part: ContentPart.ANSWER })).toBe(1)
  const fingerprint = 'ab'.repeat(32)
  expect(records).toEqual([
    { type: 'content.kept', requestId, team: 'hr', key, part: 'prompt', pieces: 2, bytes: 72, fingerprint },
    { type: 'content.kept', requestId, team: 'hr', key, part: 'answer', pieces: 1, bytes: 72, fingerprint },
  ])
  const pieces = await read(content())
  expect(pieces).toEqual([piece({ final: false, sealed: Buffer.alloc(65_564, 3) }), piece({ sequence: 1 }), piece({ part: ContentPart.ANSWER })])
  await expect(read(kept, 'h')).rejects.toMatchObject({ reason: 'content_not_found' })
  await expect(read(kept, 'hr', requestId.replaceAll('1', '2'))).rejects.toMatchObject({ reason: 'content_not_found' })
})

test('a request is kept once, and nothing is added to what is gone', async () => {
  const kept = content()
  await keep(kept)
  await expect(keep(kept)).rejects.toMatchObject({ reason: 'content_unavailable' })
  await kept.keyDestroyed('hr', key)
  await expect(keep(kept, { part: ContentPart.ANSWER })).rejects.toMatchObject({ reason: 'content_unavailable' })
  // Another request makes its folders anew.
  await keep(kept, { requestId: requestId.replaceAll('1', '2') })
})

test('what can make no path, and what is too large, is refused', async () => {
  const kept = content()
  const bad: Partial<SealedPiece>[] = [
    { teamId: '../x@1' }, { teamId: 'hr' }, { requestId: '..' }, { requestId: '../../../../etc/passwd' }, { keyId: '..' }, { keyId: 'hr' }, { day: '..' }, { day: '2026-13-45' }, { sequence: 70_000 },
    { part: ContentPart.UNSPECIFIED }, { wrappedKey: Buffer.alloc(59) }, { sealed: Buffer.alloc(65_565) }, { sealed: Buffer.alloc(27) },
  ]
  for (const more of bad) await expect(keep(kept, more), JSON.stringify(more)).rejects.toMatchObject({ reason: expect.stringMatching(/^(invalid_record|content_unavailable)$/) as string })
  await expect(kept.keep({ piece: piece(), bytes: 1n, fingerprint: Buffer.alloc(0) })).rejects.toMatchObject({ reason: 'invalid_record' })
  await expect(kept.keep({ piece: undefined, bytes: 1n, fingerprint: Buffer.alloc(0) })).rejects.toMatchObject({ reason: 'invalid_record' })
  expect(await readdir(home)).toEqual([])
  expect(records).toEqual([])
})

test('days of a clock that is far off are refused', async () => {
  const kept = content()
  for (const day of ['2026-11-21', '2026-11-25', '2062-11-23']) await expect(keep(kept, { day })).rejects.toMatchObject({ reason: 'content_unavailable' })
  for (const [index, day] of ['2026-11-22', '2026-11-23', '2026-11-24'].entries()) await keep(kept, { day, requestId: requestId.replaceAll('1', String(index + 2)) })
})

test('a piece that a crash has cut is not there; damage is told', async () => {
  const kept = content()
  await keep(kept)
  await keep(kept, { part: ContentPart.ANSWER })
  const file = await fileOf()
  const whole = await readFile(file)
  for (const cut of [1, 50, whole.length / 2 - 1]) {
    await truncate(file, whole.length - cut)
    expect(await read(kept)).toEqual([piece()])
    await writeFile(file, whole)
  }
  await writeFile(file, Buffer.concat([whole, Buffer.from([0xff, 0, 0, 0])]))
  await expect(read(kept)).rejects.toMatchObject({ reason: 'content_damaged' })
  await writeFile(file, Buffer.concat([whole, Buffer.from([0, 0, 0, 2, 0x0a, 0xff])]))
  await expect(read(kept)).rejects.toMatchObject({ reason: 'content_damaged' })
})

test('days that are over are deleted whole, once, behind their record', async () => {
  const kept = content()
  // As on the root of a volume.
  await mkdir(join(home, 'content/lost+found/x.y/2026-01-01'), { recursive: true })
  await keep(kept)
  await keep(kept, { requestId: requestId.replaceAll('1', '2') })
  now = Date.parse('2026-12-23T23:59:59Z')
  await kept.clean()
  expect(await read(kept)).toHaveLength(1)
  now += 1000
  records = []
  appending = () => {
    throw new Error('the log can not be written')
  }
  await kept.clean()
  expect(await read(kept)).toHaveLength(1)
  appending = () => undefined
  await kept.clean()
  await kept.clean()
  expect(records).toEqual([{ type: 'content.erased', team: 'hr', key, reason: 'expired', items: 2 }])
  await expect(read(kept)).rejects.toMatchObject({ reason: 'content_not_found' })
  expect(await readdir(join(home, 'content/lost+found/x.y'))).toEqual(['2026-01-01'])
})

test('what was kept under a destroyed key is deleted, and no more; if not at once, then with the next cleaning', async () => {
  const kept = content()
  await keep(kept)
  const other = requestId.replaceAll('1', '2')
  await keep(kept, { requestId: other, keyId: 'hr-2.0123456789abcdef' })
  await keep(kept, { requestId: other, teamId: 'it@abc' })
  records = []
  appending = () => {
    throw new Error('the log can not be written')
  }
  await kept.keyDestroyed('hr', key)
  // No longer shown, and not deleted without a record.
  await expect(read(kept)).rejects.toMatchObject({ reason: 'content_not_found' })
  expect(await fileOf()).not.toMatch(/none$/)
  appending = () => undefined
  await content().clean()
  expect(records).toEqual([{ type: 'content.erased', team: 'hr', key, reason: 'key_destroyed', items: 1 }])
  expect(await fileOf()).toMatch(/none$/)
  await kept.keyDestroyed('hr', key)
  expect(records).toHaveLength(1)
  expect(await read(kept, 'hr', other)).toHaveLength(1)
  expect(await read(kept, 'it', other)).toHaveLength(1)
})

test('without a folder nothing is kept, which is said', async () => {
  const none = content('')
  await expect(keep(none)).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'content_unavailable' })
  await none.clean()
  await none.keyDestroyed('hr', key)
  await writeFile(join(home, 'file'), '')
  await expect(keep(content(join(home, 'file')))).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'content_unavailable' })
  expect(records).toEqual([])
})

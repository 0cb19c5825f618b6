import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ContentPart } from '../../../proto/gen/intramuros/v1/content.ts'
import { openDataKey, openPiece } from '../../shared/content/seal.ts'
import { createTeamKey, readTeamKeyOf, removeTeamKey } from '../../shared/content/team-key.ts'
import { createDataKeys, type DataKeys } from './data-keys.ts'

const requestId = '11111111-2222-3333-4444-555555555555'
const place = { requestId, part: ContentPart.PROMPT, sequence: 0, final: true }
let folder: string
let keyId: string
let now: number
let dataKeys: DataKeys
let errors: object[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'data-keys-'))
  keyId = (await createTeamKey(folder, 'hr-1')).id
  now = Date.parse('2026-11-23T23:59:00Z')
  errors = []
  dataKeys = create(folder)
})
afterEach(async () => {
  dataKeys.close()
  await rm(folder, { recursive: true })
})

function create(from: string): DataKeys {
  const none = (): void => undefined
  return createDataKeys({ folder: from, clock: () => now, log: { debug: none, info: none, warn: none, error: (fields: object) => void errors.push(fields) } })
}

const sealer = (teamId = 'hr@abc') => dataKeys.sealerOf({ teamId, keyId, requestId })

test('requests of a team and a day share a data key, which its team key opens; other teams, days and gateways have others', async () => {
  const seal = async (teamId?: string) => (await sealer(teamId)).seal(place, Buffer.from('text'))
  const [one, same, other] = [await seal(), await seal(), await seal('hr@abd')]
  now += 120_000
  const next = await seal()
  dataKeys = create(folder)
  const restarted = await seal()
  expect([one.day, next.day]).toEqual(['2026-11-23', '2026-11-24'])
  expect(same.wrappedKey).toEqual(one.wrappedKey)
  const all = [one, other, next, restarted]
  const teamKey = await readTeamKeyOf(folder, keyId)
  expect(new Set(all.map((piece) => openDataKey(teamKey, piece).toString('hex'))).size).toBe(all.length)
  for (const piece of [same, ...all]) expect(openPiece(openDataKey(teamKey, piece), piece)?.toString()).toBe('text')
})

test('a request that began before midnight goes on with its key', async () => {
  const { seal } = await sealer()
  const before = seal(place, Buffer.from('a'))
  now += 120_000
  ;(await sealer()).seal(place, Buffer.from('b'))
  await dataKeys.sweep()
  const after = seal({ ...place, part: ContentPart.ANSWER }, Buffer.from('c'))
  expect([after.day, after.wrappedKey]).toEqual([before.day, before.wrappedKey])
  expect(openPiece(openDataKey(await readTeamKeyOf(folder, keyId), after), after)?.toString()).toBe('c')
})

test('once the team key is gone nothing is encrypted any more, by requests under way neither, and least of all under a wiped key', async () => {
  const noticed: (() => Promise<unknown>)[] = [() => dataKeys.sweep(), () => sealer().catch(() => undefined)]
  for (const notice of noticed) {
    const { seal } = await sealer()
    const file = join(folder, 'hr-1.key')
    const { bytes } = await readTeamKeyOf(folder, keyId)
    await removeTeamKey(folder, 'hr-1')
    await notice()
    expect(() => seal(place, Buffer.from('x'))).toThrow(expect.objectContaining({ reason: 'content_unavailable' }))
    await expect(sealer()).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'content_unavailable' })
    await writeFile(file, bytes.toString('base64'))
    expect((await sealer()).seal(place, Buffer.from('x')).keyId).toBe(keyId)
  }
})

test('without a folder, with no key or another one, it is told once, without the key', async () => {
  dataKeys = create('')
  await expect(sealer()).rejects.toMatchObject({ reason: 'content_unavailable' })
  dataKeys = create(folder)
  const other = randomBytes(32).toString('base64')
  await writeFile(join(folder, 'hr-1.key'), other)
  errors = []
  await expect(sealer()).rejects.toMatchObject({ reason: 'content_unavailable' })
  await expect(sealer()).rejects.toMatchObject({ reason: 'content_unavailable' })
  expect(errors).toEqual([{ key: keyId, why: expect.stringContaining('holds another key') as string }])
  expect(JSON.stringify(errors)).not.toContain(other)
})

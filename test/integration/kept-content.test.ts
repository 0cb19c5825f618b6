import { randomBytes } from 'node:crypto'
import { cp, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { verifyFolder } from '../../services/audit/verify/verify-folder.ts'
import { type AuditReader, connectAuditReader } from '../../services/cli/audit-reader.ts'
import { type OpenedContent, openContent } from '../../services/shared/content/open-content.ts'
import { openDataKey } from '../../services/shared/content/seal.ts'
import { createTeamKey, readTeamKeyOf, removeTeamKey } from '../../services/shared/content/team-key.ts'
import { type Directory, openDirectory } from '../../services/shared/directory/directory.ts'
import { chatBody, events, open, send } from '../support/client.ts'
import { filesWith } from '../support/files-with.ts'
import { type Platform, startPlatform, until } from '../support/platform.ts'
import { auditRecords } from '../support/records.ts'

const canary = `canary${randomBytes(12).toString('hex')}`
const prompt = { messages: [{ role: 'user', content: canary }] }
let keys: string
let platform: Platform
let directory: Directory
let reader: AuditReader
let otherKey: string

beforeAll(async () => {
  keys = await mkdtemp(join(tmpdir(), 'intramuros-keys-'))
  platform = await startPlatform({
    workers: [{ text: `An answer that says ${canary}.`, delayMs: 5 }],
    env: { INTRAMUROS_GATEWAY_CONTENT_KEY_FOLDER: keys, INTRAMUROS_LOG_LEVEL: 'trace' },
  })
  directory = openDirectory({ home: platform.home })
  directory.addTeam('other', [])
  otherKey = directory.createKey('other').secret
  await keepUnder('default-1')
  reader = await connectAuditReader({ address: `127.0.0.1:${platform.ports('audit')['grpc']}`, tlsFolder: join(platform.home, 'tls') })
})
afterAll(async () => {
  await reader.close()
  directory.close()
  await platform.stop()
  await rm(keys, { recursive: true })
})

async function keepUnder(name: string): Promise<string> {
  const { id } = await createTeamKey(keys, name)
  directory.addContentKey({ name, team: 'default', keyId: id })
  directory.changeTeam('default', { contentKey: name })
  return id
}

async function opened(requestId: string): Promise<OpenedContent> {
  const pieces = await Array.fromAsync(reader.content({ team: 'default', requestId }))
  return openContent(pieces, { team: 'default', requestId, keyOf: (id) => readTeamKeyOf(keys, id) })
}

async function recordsOf(requestId: unknown): Promise<Record<string, unknown>[]> {
  return (await auditRecords(platform.home)).filter((record) => record['requestId'] === requestId)
}

test('prompt and answer are kept byte for byte, whatever the API, before the answer ends, and told by records alone', async () => {
  const requests: [string, object][] = [
    ['/v1/chat/completions', chatBody(platform, prompt)],
    ['/v1/chat/completions', chatBody(platform, { ...prompt, stream: true, n: 2 })],
    ['/v1/responses', { model: platform.model, input: canary, stream: true }],
    ['/v1/messages', { model: platform.model, max_tokens: 20, messages: prompt.messages }],
    ['/v1/completions', { model: platform.model, prompt: `${canary} `.repeat(400), max_tokens: 4 }],
    ['/tokenize', { model: platform.model, content: canary.repeat(4000), with_pieces: true }],
    // Refused once its prompt is known to be too long.
    ['/v1/completions', { model: platform.model, prompt: `${canary} `.repeat(8000) }],
  ]
  for (const [path, body] of requests) {
    const { status, headers, text } = await send(platform, body, { path })
    const requestId = String(headers['x-request-id'])
    const { prompt: asked, answer } = await opened(requestId)
    expect(asked.bytes.toString()).toBe(JSON.stringify(body))
    expect(answer.bytes.toString()).toBe(status === 200 ? text : '')
    expect([asked.whole, answer.whole]).toEqual([true, true])
    const records = await recordsOf(requestId)
    expect(records.map(({ type, part }) => [type, part])).toEqual([['request.begin', undefined], ['content.kept', 'prompt'], ['content.kept', 'answer'], ['request.end', undefined], ['content.read', undefined]])
    expect(records[1]).toMatchObject({ team: 'default', bytes: asked.bytes.length, pieces: asked.pieces, fingerprint: asked.fingerprint })
    expect(records[2]).toMatchObject({ team: 'default', bytes: answer.bytes.length, pieces: answer.pieces, fingerprint: answer.fingerprint })
  }
  expect((await auditRecords(platform.home)).filter(({ type }) => type === 'directory.changed')).toContainEqual(expect.objectContaining({ event: 'content_key.created', team: 'default' }))
})

test('of a stream that its client has left, all that it got is kept', async () => {
  const { response, sent } = await open(platform, chatBody(platform, { ...prompt, stream: true }))
  const requestId = String(response.headers['x-request-id'])
  const first = await events(response).next()
  sent.destroy()
  await until(async () => (await recordsOf(requestId)).some(({ type }) => type === 'request.end'), 'the end of the request')
  expect((await recordsOf(requestId)).find(({ type }) => type === 'request.end')).toMatchObject({ outcome: 'cancelled' })
  const { answer } = await opened(requestId)
  expect(answer.whole).toBe(true)
  expect(answer.bytes.toString()).toContain(JSON.stringify(first.value))
})

test('it is read by its team alone', async () => {
  const { headers } = await send(platform, chatBody(platform, prompt))
  const requestId = String(headers['x-request-id'])
  await expect(Array.fromAsync(reader.content({ team: 'other', requestId }))).rejects.toMatchObject({ reason: 'content_not_found' })
  await expect(Array.fromAsync(reader.content({ team: 'default', requestId: '../../audit/log.sqlite' }))).rejects.toMatchObject({ reason: 'content_not_found' })
  const others = await send({ ...platform, key: otherKey }, chatBody(platform, prompt))
  expect(others.status).toBe(200)
  await expect(Array.fromAsync(reader.content({ team: 'other', requestId: String(others.headers['x-request-id']) }))).rejects.toMatchObject({ reason: 'content_not_found' })
  expect((await recordsOf(others.headers['x-request-id'])).map(({ type }) => type)).toEqual(['request.begin', 'request.end', 'content.read'])
})

test('while its key can not be read, or the content not be kept, the requests of the team are refused, and no others', async () => {
  const refused = async (): Promise<void> => {
    for (const stream of [false, true]) {
      const { status, headers, text } = await send(platform, chatBody(platform, { ...prompt, stream }))
      expect([status, text]).toEqual([503, expect.stringContaining('content_unavailable')])
      expect((await recordsOf(headers['x-request-id'])).at(-1)).toMatchObject({ type: 'request.end', outcome: 'failed', error: 'content_unavailable' })
    }
    expect((await send({ ...platform, key: otherKey }, chatBody(platform))).status).toBe(200)
  }
  const served = async (): Promise<void> => expect((await send(platform, chatBody(platform, prompt))).status).toBe(200)
  const file = join(keys, 'default-1.key')
  await rename(file, `${file}.away`)
  await refused()
  await writeFile(file, randomBytes(32).toString('base64')) // another key under its name
  await refused()
  await rename(`${file}.away`, file)
  await served()
  const folder = join(platform.home, 'content')
  await rename(folder, `${folder}.away`)
  await writeFile(folder, '')
  await refused()
  await rm(folder)
  await rename(`${folder}.away`, folder)
  await served()
})

test('a stream whose answer can not be kept ends with an error', async () => {
  const worker = platform.process('worker-0')
  const promptsKept = async () => (await auditRecords(platform.home)).filter(({ part }) => part === 'prompt').length
  const before = await promptsKept()
  worker.kill('SIGSTOP')
  const answered = send(platform, chatBody(platform, { ...prompt, stream: true }))
  await until(async () => (await promptsKept()) > before, 'the prompt to be kept')
  const folder = join(platform.home, 'content')
  await rename(folder, `${folder}.away`)
  worker.kill('SIGCONT')
  const { status, headers, text } = await answered
  await rename(`${folder}.away`, folder)
  expect(status).toBe(200)
  expect(text).toMatch(/"code":"content_unavailable"\}\}\n\n$/)
  expect(text).not.toContain('[DONE]')
  expect((await recordsOf(headers['x-request-id'])).at(-1)).toMatchObject({ type: 'request.end', outcome: 'failed', error: 'content_unavailable' })
  const { answer, prompt: asked } = await opened(String(headers['x-request-id']))
  expect([asked.whole, answer.whole, answer.pieces]).toEqual([true, false, 0])
})

test('of a stream whose gateway dies, the prompt is kept, and that the end of the answer is missing can be seen', async () => {
  const { response } = await open(platform, chatBody(platform, { ...prompt, stream: true }))
  const requestId = String(response.headers['x-request-id'])
  await events(response).next()
  await platform.kill('gateway')
  const { prompt: asked, answer } = await opened(requestId)
  expect([asked.whole, asked.bytes.includes(canary), answer.whole]).toEqual([true, true, false])
  await platform.restart('gateway')
  await platform.ready('gateway')
  await until(async () => (await recordsOf(requestId)).some(({ outcome }) => outcome === 'interrupted'), 'the request to be closed')
  expect((await recordsOf(requestId)).filter(({ type }) => type === 'content.kept')).toMatchObject([{ part: 'prompt' }])
})

test('nothing of it is anywhere in plaintext; destroying the key erases it, also in a backup that is restored, and the log still verifies', async () => {
  const { headers } = await send(platform, chatBody(platform, prompt))
  const requestId = String(headers['x-request-id'])
  expect((await opened(requestId)).prompt.bytes.includes(canary)).toBe(true)
  expect((await opened(requestId)).answer.bytes.includes(canary)).toBe(true)
  // All of the state folder could be restored: neither the team's key nor a data key is in it.
  const teamKey = await readTeamKeyOf(keys, directory.listContentKeys()[0]?.keyId ?? '')
  const [piece] = await Array.fromAsync(reader.content({ team: 'default', requestId }))
  if (piece === undefined) throw new Error('nothing is kept')
  const inAllForms = [teamKey.bytes, openDataKey(teamKey, piece)].flatMap((bytes) => [bytes, bytes.toString('hex'), bytes.toString('base64'), bytes.toString('base64url')])
  expect(await filesWith(platform.home, [canary, ...inAllForms])).toEqual([])
  for (const secret of inAllForms) expect(Buffer.from(platform.output()).includes(secret)).toBe(false)
  expect(platform.output()).not.toContain(canary)
  const metrics = await Promise.all((['gateway', 'audit'] as const).map(async (role) => (await fetch(`${platform.monitor(role)}/metrics`)).text()))
  expect(metrics.join('')).not.toContain(canary)

  const backup = `${platform.home}/backup-of-content`
  await cp(join(platform.home, 'content'), backup, { recursive: true })
  const [{ keyId: old } = { keyId: '' }] = directory.listContentKeys()
  await keepUnder('default-2')
  directory.destroyContentKey('default-1')
  expect(await removeTeamKey(keys, 'default-1')).toBe(true)
  const erased = async () => (await auditRecords(platform.home)).filter(({ type }) => type === 'content.erased')
  await until(async () => (await erased()).length === 1, 'the content to be deleted')
  expect(await erased()).toMatchObject([{ team: 'default', key: old, reason: 'key_destroyed' }])
  expect(Number((await erased())[0]?.['items'])).toBeGreaterThan(10)
  await expect(opened(requestId)).rejects.toMatchObject({ reason: 'content_not_found' })

  // What is kept since is under the other key.
  const since = await send(platform, chatBody(platform, prompt))
  expect((await opened(String(since.headers['x-request-id']))).prompt.bytes.includes(canary)).toBe(true)

  await cp(backup, join(platform.home, 'content'), { recursive: true })
  expect((await Array.fromAsync(reader.content({ team: 'default', requestId }))).length).toBeGreaterThan(1)
  await expect(opened(requestId)).rejects.toThrow('There is no key')
  expect(await filesWith(platform.home, [canary])).toEqual([])

  expect(await platform.drain('gateway', 1000)).toBe(0)
  await reader.close()
  expect(await platform.drain('audit', 5000)).toBe(0)
  const vkey = (await readFile(join(platform.home, 'audit-key/log.pub'), 'utf8')).trim()
  expect(await verifyFolder(join(platform.home, 'audit'), { vkey })).toMatchObject({ ok: true })
})

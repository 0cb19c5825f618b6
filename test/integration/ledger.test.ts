import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { verifyReceipt } from '../../services/audit/verify-receipt.ts'
import { type Directory, openDirectory } from '../../services/shared/directory/directory.ts'
import { chatBody, open, type Reply, send } from '../support/client.ts'
import { type Platform, startPlatform, until } from '../support/platform.ts'
import { auditRecords } from '../support/records.ts'

let platform: Platform
let directory: Directory

beforeAll(async () => {
  platform = await startPlatform({ workers: [{ tokens: 20, delayMs: 30 }, { tokens: 20, delayMs: 30 }] })
  directory = openDirectory({ home: platform.home })
})
afterAll(async () => {
  directory.close()
  await platform.stop()
})

async function recordsOf(type: string): Promise<Record<string, unknown>[]> {
  return (await auditRecords(platform.home)).filter((record) => record['type'] === type)
}

function receipt(requestId: string, key = platform.key): Promise<Reply> {
  return send({ ...platform, key }, undefined, { method: 'GET', path: `/v1/receipts/${requestId}` })
}

async function vkey(): Promise<string> {
  return (await readFile(join(platform.home, 'audit-key/log.pub'), 'utf8')).trim()
}

test('an answer says where its record is, and the record what was asked and what it cost', async () => {
  const reply = await send(platform, chatBody(platform, { max_tokens: 6, seed: 7 }))
  expect(reply.status).toBe(200)
  const records = await auditRecords(platform.home)
  const begin = records[Number(reply.headers['x-intramuros-record'])]
  const requestId = reply.headers['x-request-id']
  expect(begin).toMatchObject({
    type: 'request.begin', requestId, team: 'default', auth: 'api_key', subject: '', priority: 'interactive', endpoint: 'POST /v1/chat/completions', model: platform.model,
    parameters: { maxTokens: 6, temperature: '0', seed: true },
  })
  expect(begin?.['gatewayVersion']).toMatch(/^\d+\.\d+\.\d+/)
  const end = records.find((record) => record['type'] === 'request.end' && record['requestId'] === requestId)
  expect(end).toMatchObject({ team: 'default', outcome: 'completed', outputTokens: 6, workerVersion: begin?.['gatewayVersion'], redactions: [] })
  expect(end?.['workerUs']).toBeGreaterThan(0)
})

test('errors of recorded requests say it too, those of unrecorded ones not', async () => {
  const long = await send(platform, chatBody(platform, { messages: [{ role: 'user', content: 'word '.repeat(20_000) }] }))
  expect(long.status).toBe(400)
  expect((await auditRecords(platform.home))[Number(long.headers['x-intramuros-record'])]).toMatchObject({ type: 'request.begin', requestId: long.headers['x-request-id'] })
  const refused = await send(platform, chatBody(platform), { headers: { authorization: 'Bearer nonsense' } })
  expect(refused.headers).not.toHaveProperty('x-intramuros-record')
})

test('a receipt is checked with nothing but the public key, and is for its team alone', async () => {
  const reply = await send(platform, chatBody(platform))
  const requestId = String(reply.headers['x-request-id'])
  const own = await receipt(requestId)
  expect(own.status).toBe(200)
  expect(own.headers['content-type']).toBe('text/plain; charset=utf-8')
  const verified = verifyReceipt(own.text, await vkey())
  expect(verified).toMatchObject({ ok: true, record: { type: 'request.end', requestId, team: 'default', outcome: 'completed' } })

  directory.addTeam('others', [])
  const { secret } = directory.createKey('others')
  const refused = await Promise.all([receipt(requestId, secret), receipt('11111111-2222-3333-4444-555555555555'), receipt('..%2f..'), receipt('x'.repeat(500))])
  expect(refused.map(({ status }) => status)).toEqual([404, 404, 404, 404])
  expect(new Set(refused.map(({ text }) => text)).size).toBe(1)
  expect((await receipt(requestId, 'nonsense')).status).toBe(401)
})

test('while a request runs, its receipt is of its begin', async () => {
  const client = new AbortController()
  const { response } = await open(platform, chatBody(platform, { stream: true }), { signal: client.signal })
  const requestId = String(response.headers['x-request-id'])
  const { text } = await receipt(requestId)
  client.abort()
  expect(verifyReceipt(text, await vkey())).toMatchObject({ ok: true, index: Number(response.headers['x-intramuros-record']), record: { type: 'request.begin', requestId } })
})

test('who is turned away is recorded: at once the first time, then counted', async () => {
  const team = 'narrow'
  directory.addTeam(team, ['another-model'])
  const { id, secret } = directory.createKey(team)
  expect((await send({ ...platform, key: secret }, chatBody(platform))).status).toBe(404)
  directory.revokeKey(id)
  for (let at = 0; at < 5; at += 1) expect((await send({ ...platform, key: secret }, chatBody(platform))).status).toBe(401)
  expect((await send(platform, undefined, { method: 'GET', path: '/v1/models/x', headers: { authorization: 'Bearer nonsense' } })).status).toBe(401)
  const refused = async () => (await recordsOf('request.refused')).filter((record) => record['reason'] !== 'invalid_api_key' || record['endpoint'] === 'GET /v1/models/{model}')
  const sum = (records: Record<string, unknown>[], reason: string) => records.filter((record) => record['reason'] === reason).reduce((total, { count }) => total + Number(count), 0)
  await until(async () => sum(await refused(), 'revoked_api_key') === 5, 'five refusals to be recorded')
  const records = await refused()
  expect(records).toMatchObject([
    { reason: 'model_not_allowed', team, keyId: id, source: '', count: 1 },
    { reason: 'revoked_api_key', team, keyId: id, source: '127.0.0.1', endpoint: 'POST /v1/chat/completions', count: 1 },
    { reason: 'invalid_api_key', team: '', keyId: '', source: '127.0.0.1', count: 1 },
    { reason: 'revoked_api_key', count: 4 },
  ])
})

test('changes of teams and keys are recorded once and in order, over restarts of both sides', async () => {
  const before = (await recordsOf('directory.changed')).length
  expect(before).toBeGreaterThan(0)
  directory.addTeam('late', [])
  const { id } = directory.createKey('late')
  await until(async () => (await recordsOf('directory.changed')).length === before + 2, 'the changes to be recorded')
  await platform.kill('gateway')
  directory.changeTeam('late', { weight: 3 })
  await platform.kill('audit')
  directory.removeTeam('late', { force: true })
  await platform.restart('audit')
  await platform.restart('gateway')
  await platform.ready('gateway')
  await until(async () => (await recordsOf('directory.changed')).length >= before + 5, 'the changes to be recorded')
  const records = (await recordsOf('directory.changed')).filter((record) => record['team'] === 'late')
  expect(records).toMatchObject([{ event: 'team.created' }, { event: 'key.created', keyId: id }, { event: 'team.changed', settings: ['weight'] }, { event: 'team.deleted' }, { event: 'key.revoked', keyId: id }])
})

test('services that come and go, and settings that were changed, are recorded by name', async () => {
  const file = join(platform.home, 'intramuros.yaml')
  const secret = 'llm.never-recorded.example.org'
  await platform.kill('gateway')
  await writeFile(file, JSON.stringify({ ...(JSON.parse(await readFile(file, 'utf8')) as object), gateway: { names: [secret] } }))
  await platform.restart('gateway')
  await platform.ready('gateway')
  await platform.kill('worker-1')
  await until(async () => (await recordsOf('service.changed')).some((record) => record['event'] === 'left' && record['service'] === 'inference-worker'), 'the loss of a worker to be recorded')
  await until(async () => (await recordsOf('configuration.changed')).length > 0, 'the changed setting to be recorded')
  const settings = (await recordsOf('configuration.changed')).flatMap((record) => record['settings'])
  expect(settings).toContain('gateway.names')
  const address = `127.0.0.1:${platform.ports('worker-1')['grpc']}`
  const changes = await recordsOf('service.changed')
  expect(changes).toContainEqual(expect.objectContaining({ service: 'gateway', event: 'started', instance: 'gateway' }))
  expect(changes).toContainEqual(expect.objectContaining({ service: 'tokenizer', event: 'joined' }))
  expect(changes).toContainEqual(expect.objectContaining({ service: 'inference-worker', event: 'joined', instance: address, model: platform.model }))
  expect(changes).toContainEqual(expect.objectContaining({ service: 'inference-worker', event: 'left', instance: address }))
  expect(changes.find((record) => record['event'] === 'joined')?.['version']).toMatch(/^\d+\.\d+/)
  expect(JSON.stringify(await auditRecords(platform.home))).not.toContain(secret)
  expect(await platform.drain('gateway', 1000)).toBe(0)
  expect((await recordsOf('service.changed')).at(-1)).toMatchObject({ service: 'gateway', event: 'stopping' })
})

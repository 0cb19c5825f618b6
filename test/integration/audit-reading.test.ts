import { mkdtempSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { QueryKind, UsageBy } from '../../proto/gen/intramuros/v1/audit_read.ts'
import { type AuditReader, connectAuditReader } from '../../services/cli/audit-reader.ts'
import { writeArchive } from '../../services/cli/archive/write-archive.ts'
import { chatBody, send } from '../support/client.ts'
import { type Platform, startPlatform, until } from '../support/platform.ts'
import { runProgram } from '../support/run-program.ts'

let platform: Platform
let reader: AuditReader
let folder: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'intramuros-export-'))
  platform = await startPlatform({ workers: [{ tokens: 8 }] })
  reader = await connectAuditReader({ address: `127.0.0.1:${platform.ports('audit')['grpc']}`, tlsFolder: join(platform.home, 'tls') })
})
afterAll(async () => {
  await reader.close()
  await platform.stop()
  rmSync(folder, { recursive: true })
})

const anything = { team: '', keyId: '', subject: '', model: '', endpoint: '', outcome: '', error: '', type: '', fromMs: undefined, toMs: undefined, oldestFirst: false, limit: 10, after: undefined }

test('a request is found, counted, and exported with its proof', async () => {
  const reply = await send(platform, chatBody(platform))
  expect(reply.status).toBe(200)
  const { usage } = JSON.parse(reply.text) as { usage: { prompt_tokens: number; completion_tokens: number } }
  const find = async () => (await reader.query({ ...anything, kind: QueryKind.REQUESTS, team: 'default', outcome: 'completed' })).requests
  await until(async () => (await find()).length === 1, 'the index to have the request')
  const [row] = await find()
  expect(row).toMatchObject({ team: 'default', model: platform.model, endpoint: 'POST /v1/chat/completions', end: { outcome: 'completed', inputTokens: BigInt(usage.prompt_tokens), outputTokens: BigInt(usage.completion_tokens) } })
  const reads = await reader.query({ ...anything, kind: QueryKind.OTHERS, type: 'log.read' })
  expect(reads.others.length).toBeGreaterThanOrEqual(2)
  const report = await reader.usage({ month: '', team: '', by: [UsageBy.TEAM, UsageBy.MODEL] })
  expect(report.rows).toMatchObject([{ team: 'default', model: platform.model, sums: { requests: 1n, outputTokens: BigInt(usage.completion_tokens) } }])

  // Checkpoints come once a second while the log grows.
  await until(async () => Number((await reader.checkpoint()).content.toString().split('\n')[1]) > Number(row?.end?.index), 'a checkpoint of the request')
  const archive = join(folder, 'all')
  await writeArchive(reader.export({ team: '', fromMs: undefined, toMs: undefined }), { folder: archive, team: '', from: '', to: '' })
  expect(await readFile(join(archive, 'requests.csv'), 'utf8')).toContain(`,${row?.requestId},`)
  const key = join(platform.home, 'audit-key/log.pub')
  expect(await runProgram('python3', [join(import.meta.dirname, '../../docs/audit/verify-export.py'), archive, key], { timeoutMs: 60_000 })).toMatch(/ records are what stands in the log /)
})

test('the ledger drains although somebody follows it', async () => {
  const followed = reader.tail({ team: '', fromIndex: undefined, last: 1, follow: true })[Symbol.asyncIterator]()
  await followed.next()
  const ended = (async () => {
    while ((await followed.next()).done !== true);
  })().catch((thrown: unknown) => thrown)
  expect(await platform.drain('audit', 15_000)).toBe(0)
  expect(await ended).toMatchObject({ code: 'UNAVAILABLE' })
})

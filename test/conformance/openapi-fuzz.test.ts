import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { minilmModel } from '../support/minilm.ts'
import { type Platform, startPlatform } from '../support/platform.ts'
import { schemathesis } from './python-clients.ts'
import { trust } from './support/clients.ts'
import { answerablePart, type ApiDescription, describedApi } from './support/described-api.ts'
import { post } from './support/post.ts'
import { run } from './support/run.ts'

const fuzzSeconds = 45
const limitMs = (fuzzSeconds + 60) * 1000

const always = ['not_a_server_error', 'status_code_conformance', 'content_type_conformance', 'response_headers_conformance', 'response_schema_conformance']

let platform: Platform
let scratch: string
let described: ApiDescription

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'intramuros-fuzz-'))
  // The real model, for what only it does: keep to a grammar. The short context bounds an answer that nothing else bounds.
  const env = { INTRAMUROS_INFERENCE_WORKER_THREADS: '1', INTRAMUROS_INFERENCE_WORKER_CONTEXT_LENGTH: '128' }
  platform = await startPlatform({ realModel: true, embeddingModelPath: await minilmModel(), env })
  trust(platform)
  described = await describedApi(platform)
})
afterAll(async () => {
  await platform.stop()
  await rm(scratch, { recursive: true, force: true })
})

async function fuzz(description: ApiDescription, checks: readonly string[], args: readonly string[]): Promise<void> {
  const file = join(scratch, 'openapi.json')
  await writeFile(file, JSON.stringify(description))
  const program = join(dirname(await schemathesis()), 'schemathesis')
  const where = ['--url', platform.url, '--header', `Authorization:Bearer ${platform.key}`, '--tls-verify', join(platform.home, 'tls/ca.crt')]
  const bounds = ['--max-time', String(fuzzSeconds), '--request-timeout', '30', '--seed', '1', '--continue-on-failure', '--no-shrink']
  const quiet = ['--generation-database', 'none', '--no-color', '--warnings', 'off']
  const what = ['--checks', [...always, ...checks].join(','), ...args]
  const { status, output } = await run(program, ['run', file, ...where, ...bounds, ...quiet, ...what], { cwd: scratch, timeoutMs: limitMs })
  process.stdout.write(/^Test cases:\n.*$/m.exec(output)?.[0].replace('\n', '') ?? '')
  process.stdout.write('\n')
  expect(status, output.slice(-12_000)).toBe(0)
}

describe('schemathesis', () => {
  test('finds no server error, no undocumented status and no answer of another shape', { timeout: limitMs + 10_000 }, async () => {
    await fuzz(described, ['negative_data_rejection', 'unsupported_method', 'allow_header_conformance', 'ignored_auth'], ['--max-examples', '200', '--phases', 'coverage,fuzzing'])
  })

  test('has an answer to every body that can be answered', { timeout: limitMs + 10_000 }, async () => {
    await fuzz(answerablePart(described), ['positive_data_acceptance'], ['--mode', 'positive', '--max-examples', '200', '--phases', 'coverage,fuzzing'])
  })

  test('had answers from every endpoint, and no server error from any', async () => {
    const answers = await answersByRoute()
    process.stdout.write(answers.map(({ route, status, count }) => `  ${route}: ${count} times ${status}\n`).join(''))
    expect(answers.filter(({ status }) => status >= 500)).toEqual([])
    const answered = new Set(answers.filter(({ status }) => status === 200).map(({ route }) => route))
    const routes = Object.entries(described.paths).flatMap(([path, operations]) => Object.keys(operations).map((method) => `${method.toUpperCase()} ${path.replace(/\{\w+\}/, '*')}`))
    expect(routes.length).toBeGreaterThan(10)
    // Here is no reranking model, which rerank.test.ts asks; and nobody guesses the id of a request: test/integration knows some.
    expect(routes.filter((route) => !answered.has(route))).toEqual(['POST /v1/rerank', 'GET /v1/receipts/*'])
  })

  test('leaves the platform as it was', async () => {
    expect((await post(platform, '/v1/chat/completions', { model: platform.model, messages: [{ role: 'user', content: 'Hello' }], max_tokens: 4 })).status).toBe(200)
  })
})

/** As the gateway has counted them. */
async function answersByRoute(): Promise<{ route: string; status: number; count: number }[]> {
  const metrics = await (await fetch(`${platform.monitor('gateway')}/metrics`)).text()
  const lines = metrics.matchAll(/^intramuros_gateway_requests_total\{route="([^"]+)",status="(\d+)"[^}]*\} (\d+)$/gm)
  return [...lines].map(([, route = '', status, count]) => ({ route, status: Number(status), count: Number(count) }))
}

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { minilmModel } from '../support/minilm.ts'
import { type Platform, startPlatform } from '../support/platform.ts'
import { schemathesis } from './python-clients.ts'
import { trust } from './support/clients.ts'
import { run } from './support/run.ts'

const fuzzSeconds = 60
const limitMs = (fuzzSeconds + 90) * 1000

/**
 * That each valid body is taken is not among them: which model can do what is in no schema. That invalid ones are refused is.
 */
const checks = ['not_a_server_error', 'status_code_conformance', 'content_type_conformance', 'response_headers_conformance', 'response_schema_conformance', 'negative_data_rejection', 'unsupported_method', 'allow_header_conformance', 'ignored_auth']

let platform: Platform
let scratch: string

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'intramuros-fuzz-'))
  // The real model, for what only it does: keep to a grammar. The short context bounds an answer that nothing else bounds.
  const env = { INTRAMUROS_INFERENCE_WORKER_THREADS: '1', INTRAMUROS_INFERENCE_WORKER_CONTEXT_LENGTH: '128' }
  platform = await startPlatform({ realModel: true, embeddingModelPath: await minilmModel(), env })
  trust(platform)
})
afterAll(async () => {
  await platform.stop()
  await rm(scratch, { recursive: true, force: true })
})

describe('schemathesis', () => {
  test('finds no server error, no undocumented status and no answer of another shape', { timeout: limitMs + 10_000 }, async () => {
    const description = join(scratch, 'openapi.json')
    const report = join(scratch, 'junit.xml')
    await writeFile(description, JSON.stringify(await describedWithModels()))
    const program = join(dirname(await schemathesis()), 'schemathesis')
    const { status, output } = await run(
      program,
      [
        ...['run', description, '--url', platform.url, '--header', `Authorization:Bearer ${platform.key}`, '--tls-verify', join(platform.home, 'tls/ca.crt')],
        ...['--checks', checks.join(','), '--max-time', String(fuzzSeconds), '--max-examples', '200', '--phases', 'examples,coverage,fuzzing', '--seed', '1', '--continue-on-failure'],
        ...['--request-timeout', '20', '--generation-database', 'none', '--no-shrink', '--no-color', '--warnings', 'off', '--report-junit-path', report],
      ],
      { cwd: scratch, timeoutMs: limitMs },
    )
    process.stdout.write(`${output.split('\n').slice(-25).join('\n')}\n`)
    expect(status, output.slice(-12_000)).toBe(0)
    expect(await readFile(report, 'utf8')).toMatch(/<testcase [^>]*chat/)
  })

  test('leaves the platform as it was', async () => {
    const response = await fetch(`${platform.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${platform.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: platform.model, messages: [{ role: 'user', content: 'Hello' }] }),
    })
    expect(response.status).toBe(200)
  })
})

interface Operation {
  parameters?: { name: string; schema: object }[]
  requestBody?: { content: { 'application/json': { schema: { properties: Record<string, object> } } } }
}

/** The served description, with the names of the models: of others there is nothing but 404 to be had. */
async function describedWithModels(): Promise<object> {
  const document = (await (await fetch(`${platform.url}/openapi.json`)).json()) as { paths: Record<string, Record<string, Operation>> }
  for (const [path, operations] of Object.entries(document.paths)) {
    const names = { enum: [path.includes('embeddings') ? platform.embeddingModel : platform.model] }
    for (const { parameters = [], requestBody } of Object.values(operations)) {
      for (const parameter of parameters) if (parameter.name === 'model') parameter.schema = names
      const properties = requestBody?.content['application/json'].schema.properties
      if (properties?.['model'] !== undefined) properties['model'] = names
    }
  }
  return document
}

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Platform } from '../support/platform.ts'
import { pythonClients } from './python-clients.ts'
import { realPlatform } from './support/platforms.ts'
import { run } from './support/run.ts'

const folder = join(import.meta.dirname, 'python')
const limitMs = 240_000

/** The tests of each file that must pass at least, so that none is lost unseen. */
const suites: [string, number][] = [
  ['test_openai.py', 20],
  ['test_anthropic.py', 7],
  ['test_langchain.py', 30],
  ['test_retrieval.py', 7],
]

let platform: Platform
let scratch: string

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'intramuros-pytest-'))
  platform = await realPlatform({ embeddings: true })
})
afterAll(async () => {
  await platform.stop()
  await rm(scratch, { recursive: true, force: true })
})

describe('the Python clients, with the real model', () => {
  test('all suites are run', async () => {
    const files = (await readdir(folder)).filter((name) => name.startsWith('test_'))
    expect(files.toSorted()).toEqual(suites.map(([name]) => name).toSorted())
  })

  test.each(suites)('%s', { timeout: limitMs + 10_000 }, async (suite, atLeast) => {
    const report = join(scratch, `${suite}.xml`)
    const { output } = await run(await pythonClients(), ['-B', '-m', 'pytest', '-q', '-rfExX', '--tb=short', '-p', 'no:cacheprovider', `--junitxml=${report}`, suite], {
      cwd: folder,
      timeoutMs: limitMs,
      env: {
        CONFORMANCE_URL: platform.url,
        CONFORMANCE_KEY: platform.key,
        CONFORMANCE_CA: join(platform.home, 'tls/ca.crt'),
        CONFORMANCE_MODEL: platform.model,
        CONFORMANCE_EMBEDDING_MODEL: platform.embeddingModel,
        LANGSMITH_TRACING: 'false',
        OPENAI_API_KEY: '',
      },
    })
    const { tests, failures, errors, skipped } = countsOf(await readFile(report, 'utf8').catch(() => ''))
    process.stdout.write(`${suite}: ${tests - failures - errors - skipped} passed, ${failures + errors} failed, ${skipped} skipped or expected to fail\n${summaryOf(output)}`)
    expect(failures + errors, output.slice(-8000)).toBe(0)
    expect(tests - skipped).toBeGreaterThanOrEqual(atLeast)
  })
})

/** What pytest's report counts; those that are skipped hold those that were expected to fail. */
function countsOf(xml: string): { tests: number; failures: number; errors: number; skipped: number } {
  const [suite = ''] = /<testsuite [^>]*>/.exec(xml) ?? []
  const count = (name: string): number => Number(new RegExp(` ${name}="(\\d+)"`).exec(suite)?.[1] ?? 'NaN')
  return { tests: count('tests'), failures: count('failures'), errors: count('errors'), skipped: count('skipped') }
}

function summaryOf(output: string): string {
  return output
    .split('\n')
    .filter((line) => /^(FAILED|ERROR|XFAIL|XPASS|SKIPPED) /.test(line))
    .map((line) => `  ${line}\n`)
    .join('')
}

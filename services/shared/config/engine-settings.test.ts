import { expect, test } from 'vitest'
import { ConfigError, loadConfig } from './load.ts'

function load(env: Record<string, string>) {
  return loadConfig({ env: { INTRAMUROS_HOME: '/nowhere', ...env } }).inferenceWorker
}

function problems(env: Record<string, string>): ConfigError['problems'] {
  try {
    load(env)
  } catch (thrown) {
    if (thrown instanceof ConfigError) return thrown.problems
    throw thrown
  }
  return []
}

const openai = { INTRAMUROS_INFERENCE_WORKER_ENGINE: 'openai' }

test('the engine openai needs the address of its server, in this pod', () => {
  const path = 'inferenceWorker.openai.url'
  expect(problems(openai)).toEqual([expect.objectContaining({ path, allowed: 'the address of the server, for example http://127.0.0.1:8000' })])
  expect(problems({ ...openai, INTRAMUROS_INFERENCE_WORKER_OPENAI_URL: 'http://gpu.example:8000' })).toEqual([
    expect.objectContaining({ path, allowed: expect.stringContaining('an address of this pod') as string }),
  ])
  expect(load({ ...openai, INTRAMUROS_INFERENCE_WORKER_OPENAI_URL: 'unix:/run/vllm.sock' })).toMatchObject({ engine: 'openai', openai: { url: 'unix:/run/vllm.sock', kind: 'auto' } })
})

test('without it, no address is needed', () => {
  expect(problems({})).toEqual([])
})

import { afterAll, beforeAll, expect, it } from 'vitest'
import { chatBody, events, open, send } from '../support/client.ts'
import { type LlamaServer, startLlamaServer } from '../support/llama-server.ts'
import { type Platform, startPlatform, until } from '../support/platform.ts'

// The four services with the engine openai, in front of a llama-server.

const model = process.env['INTRAMUROS_TEST_MODEL'] ?? ''
const args = ['--ctx-size', '4096', '--parallel', '2', '--metrics', '--slots', '--batch-size', '64', '--ubatch-size', '64']
let server: LlamaServer
let platform: Platform

beforeAll(async () => {
  server = await startLlamaServer({ model, args })
  platform = await startPlatform({ realModel: true, env: { INTRAMUROS_INFERENCE_WORKER_ENGINE: 'openai', INTRAMUROS_INFERENCE_WORKER_OPENAI_URL: server.url, INTRAMUROS_LOG_LEVEL: 'trace' } })
})
afterAll(async () => {
  await platform?.stop()
  await server?.close()
})

interface Completion {
  choices: { message: { content: string; tool_calls?: { function: { name: string; arguments: string } }[] }; finish_reason: string }[]
  usage: { prompt_tokens: number; completion_tokens: number }
}

async function chat(extra: object): Promise<Completion> {
  const { status, text } = await send(platform, chatBody(platform, { max_tokens: 40, ...extra }))
  expect(status, text).toBe(200)
  return JSON.parse(text) as Completion
}

const question = [{ role: 'user', content: 'What is the capital of France?' }]

async function busySlots(): Promise<number> {
  const slots = (await (await fetch(`${server.url}/slots`)).json()) as { is_processing: boolean }[]
  return slots.filter(({ is_processing: busy }) => busy).length
}

it('answers a chat, whole and as a stream', async () => {
  const whole = await chat({ messages: question })
  // What the server makes of it with its own template, tokeniser and sampler.
  const direct = (await server.post('/v1/chat/completions', { messages: question, max_tokens: 40, temperature: 0, cache_prompt: false })) as Completion
  expect(whole.choices[0]?.message.content).toBe(direct.choices[0]?.message.content)
  expect(whole.choices[0]?.finish_reason).toBe(direct.choices[0]?.finish_reason)
  expect(whole.usage).toMatchObject({ prompt_tokens: direct.usage.prompt_tokens, completion_tokens: direct.usage.completion_tokens })
  const { response } = await open(platform, chatBody(platform, { messages: question, max_tokens: 40, stream: true, stream_options: { include_usage: true } }))
  let text = ''
  let usage: unknown
  for await (const event of events(response)) {
    text += event.choices?.[0]?.delta.content ?? ''
    usage = event.usage ?? usage
  }
  expect(text).toBe(whole.choices[0]?.message.content)
  expect(usage).toMatchObject(whole.usage)
})

it('keeps to a JSON schema, and calls a tool', async () => {
  const schema = { type: 'object', properties: { city: { type: 'string', maxLength: 20 }, people: { type: 'integer', minimum: 0, maximum: 99 } }, required: ['city', 'people'], additionalProperties: false }
  const answer = await chat({ messages: question, max_tokens: 80, response_format: { type: 'json_schema', json_schema: { name: 'x', strict: true, schema } } })
  expect(JSON.parse(answer.choices[0]?.message.content ?? '')).toEqual({ city: expect.any(String) as string, people: expect.any(Number) as number })
  const tool = { type: 'function', function: { name: 'capital', strict: true, parameters: { type: 'object', properties: { of: { enum: ['France', 'Spain'] } }, required: ['of'], additionalProperties: false } } }
  const call = await chat({ messages: question, tools: [tool], tool_choice: 'required', parallel_tool_calls: false, max_tokens: 80 })
  expect(call.choices[0]?.finish_reason).toBe('tool_calls')
  expect(JSON.parse(call.choices[0]?.message.tool_calls?.[0]?.function.arguments ?? '')).toEqual({ of: expect.stringMatching(/France|Spain/) as string })
})

it('a client that goes away frees the slot of the server', async () => {
  const { sent, response } = await open(platform, chatBody(platform, { max_tokens: 2000, stream: true, messages: [{ role: 'user', content: 'Count from one to a thousand, in words.' }], logit_bias: { 2: -100 } }))
  await events(response).next()
  await until(async () => (await busySlots()) === 1, 'the server to work')
  sent.destroy()
  await until(async () => (await busySlots()) === 0, 'the slot to be free')
})

it('without its server it is not ready, says so, and is back with it', async () => {
  await server.close()
  await until(async () => (await fetch(`${platform.monitor('worker-0')}/readyz`)).status === 503, 'the worker not to be ready')
  const { status } = await send(platform, chatBody(platform, { messages: question }))
  expect(status).toBe(503)
  server = await startLlamaServer({ model, args: [...args, '--port', new URL(server.url).port] })
  await platform.ready('worker-0')
  await until(async () => (await send(platform, chatBody(platform, { messages: question, max_tokens: 3 }))).status === 200, 'an answer')
})

it('nothing of prompts and answers is in what the services wrote', async () => {
  await chat({ messages: [{ role: 'user', content: 'Repeat: canary-5f1c' }] })
  expect(platform.output()).toContain('engine connected')
  expect(platform.output()).not.toMatch(/canary-5f1c|Paris|France|Marseillaise/)
})

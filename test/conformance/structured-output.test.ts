import type OpenAI from 'openai'
import { zodFunction, zodResponseFormat } from 'openai/helpers/zod'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Platform } from '../support/platform.ts'
import { openAiClient, type OpenAiClient, trust } from './support/clients.ts'
import { parseJson } from './support/json.ts'
import { realPlatform } from './support/platforms.ts'

let platform: Platform
let client: OpenAI
let wire: OpenAiClient['wire']

beforeAll(async () => {
  platform = await realPlatform()
  trust(platform)
  ;({ client, wire } = openAiClient(platform))
})
afterAll(() => platform.stop())
afterEach(() => wire.verify())

const messages = [{ role: 'user', content: 'Invent a person.' }] as const
const Person = z.strictObject({
  name: z.string().max(20),
  age: z.int().min(0).max(120),
  tags: z.array(z.enum(['kind', 'tall', 'odd'])).max(3),
  home: z.strictObject({ city: z.string().max(20), abroad: z.boolean() }),
})

/** Hot, so that only the grammar keeps the answer to its schema. */
function body(extra: object = {}) {
  return { model: platform.model, messages: [...messages], temperature: 1.5, max_tokens: 300, ...extra }
}

describe('structured output, with the real model', () => {
  test.each([1, 2, 3, 4])('keeps to a zod schema whatever is sampled (seed %i)', async (seed) => {
    const completion = await client.chat.completions.parse(body({ seed, response_format: zodResponseFormat(Person, 'person') }))
    expect(completion.choices[0]?.finish_reason).toBe('stop')
    // The client has parsed it with the same schema.
    expect(Person.parse(completion.choices[0]?.message.parsed)).toBeTypeOf('object')
  })

  test('streams it, and the client reads it as it comes', async () => {
    const runner = client.chat.completions.stream(body({ seed: 5, response_format: zodResponseFormat(Person, 'person') }))
    let snapshots = 0
    runner.on('content.delta', () => (snapshots += 1))
    const completion = await runner.finalChatCompletion()
    expect(Person.parse(completion.choices[0]?.message.parsed)).toBeTypeOf('object')
    expect(snapshots).toBeGreaterThan(5)
  })

  test('gives each of several choices its own', async () => {
    const completion = await client.chat.completions.parse(body({ seed: 6, n: 2, response_format: zodResponseFormat(Person, 'person') }))
    for (const { message } of completion.choices) expect(Person.parse(message.parsed)).toBeTypeOf('object')
  })

  test.each([1, 2, 3])('json_object gives an object (seed %i)', async (seed) => {
    const { choices } = await client.chat.completions.create(body({ seed, temperature: 0.7, max_tokens: 1500, response_format: { type: 'json_object' } }))
    const [choice] = choices
    // An object may take longer than the limit; then it is the beginning of one.
    if (choice?.finish_reason === 'length') expect(choice.message.content).toMatch(/^\s*\{/)
    else expect(parseJson(choice?.message.content ?? '')).toBeTypeOf('object')
  })

  test('at the token limit it is the beginning of one, and says so', async () => {
    const { choices } = await client.chat.completions.create(body({ max_tokens: 5, response_format: { type: 'json_schema', json_schema: { name: 'p', strict: true, schema: z.toJSONSchema(Person) as Record<string, unknown> } } }))
    expect(choices[0]).toMatchObject({ finish_reason: 'length', message: { content: expect.stringMatching(/^\s*\{/) as string } })
  })

  test('a required tool is called with arguments that keep to its schema', async () => {
    const tool = zodFunction({ name: 'save_person', parameters: Person })
    for (const seed of [1, 2]) {
      const completion = await client.chat.completions.parse(body({ seed, tools: [tool], tool_choice: 'required', parallel_tool_calls: false }))
      const [call] = completion.choices[0]?.message.tool_calls ?? []
      if (call?.type !== 'function') throw new Error('no function was called')
      expect(call.function.name).toBe('save_person')
      expect(Person.parse(call.function.parsed_arguments)).toBeTypeOf('object')
    }
  })

  test('a grammar is kept to', async () => {
    const grammar = 'root ::= item{3}\nitem ::= "- " [a-z]{2,8} "\\n"'
    const { choices } = await client.chat.completions.create(body({ seed: 3, grammar }))
    expect(choices[0]?.message.content).toMatch(/^(- [a-z]{2,8}\n){3}$/)
  })

  const refused: [string, object, string][] = [
    ['a schema that cannot be honoured', { response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'object', properties: { a: { not: { type: 'string' } } } } } } }, '/properties/a/not'],
    ['a reference that leads nowhere', { response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { $ref: '#/$defs/missing' } } } }, '$ref'],
  ]

  test.each(refused)('%s is a 400 that names its pointer', async (_, extra, pointer) => {
    await expect(client.chat.completions.create(body(extra))).rejects.toMatchObject({
      status: 400,
      message: expect.stringContaining(pointer) as string,
      param: expect.stringContaining('response_format') as string,
    })
  })

  test('a grammar with a mistake is a 400 that tells its line', async () => {
    await expect(client.chat.completions.create(body({ grammar: 'root ::= "a"\nother ::= [' }))).rejects.toMatchObject({ status: 400, param: 'grammar', message: expect.stringContaining('2') as string })
  })

  test('a schema and a grammar nested 60,000 deep are refused, and the platform lives on', async () => {
    let schema: object = { type: 'string' }
    for (let depth = 0; depth < 2000; depth += 1) schema = { type: 'array', items: schema }
    await expect(client.chat.completions.create(body({ response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } }))).rejects.toMatchObject({ status: 400 })
    await expect(client.chat.completions.create(body({ grammar: `root ::= ${'('.repeat(60_000)}"a"${')'.repeat(60_000)}` }))).rejects.toMatchObject({ status: 400 })
    expect((await client.chat.completions.create(body({ max_tokens: 2 }))).choices).toHaveLength(1)
  })
})

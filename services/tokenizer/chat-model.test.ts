import { readdirSync, readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Conversation } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import { ServiceError } from '../shared/errors.ts'
import { type ChatModel, createChatModel } from './chat-model.ts'
import { parseConversation } from './conversation.ts'
import type { Piece } from './special-tokens.ts'
import type { SpecialToken, Vocabulary } from './vocabulary.ts'

// Conversations with tools through the templates that real models bring, with all that looks like a control token being one.

const folder = new URL('../../test/fixtures/templates/', import.meta.url)
const names = readdirSync(folder)
  .filter((file) => file.endsWith('.jinja'))
  .map((file) => file.slice(0, -'.jinja'.length))

/** These are ordinary text in most vocabularies, and templates look for them in what an assistant has said. */
const ordinary = /think|THINK|tool_|response/

/** Its template has no place for calls: llama-server leaves them out, too. */
const withoutCalls = new Set(['granite-3.3'])

interface Loaded {
  model: ChatModel
  /** How the template's control tokens are spelt. */
  spellings: string[]
}

function load(name: string): Loaded {
  const source = readFileSync(new URL(`${name}.jinja`, folder), 'utf8')
  const found = new Set(source.match(/<[|｜]?[a-z_▁A-Z]+[|｜]?>|<\/s>|\[\/?[A-Z_]{3,}\]/g))
  const special: SpecialToken[] = [...found, '<s>', '<unk>'].map((text, id) => ({ id, text, control: !ordinary.test(text), stripLeft: false, stripRight: false }))
  const vocabulary = {
    bos: { id: found.size, text: '<s>' },
    addBos: true,
    eosText: '</s>',
    specialTokens: special,
    tokenise: () => [],
  } satisfies Partial<Vocabulary> as unknown as Vocabulary
  const spellings = special.filter(({ control }) => control).map(({ text }) => text)
  return { model: createChatModel(vocabulary, source, name), spellings }
}

const models = new Map(names.map((name) => [name, load(name)]))

function loaded(name: string): Loaded {
  const model = models.get(name)
  if (model === undefined) throw new Error(`no template ${name}`)
  return model
}

/** A text for each place where a client can write one, by its number. */
type Texts = (place: number) => string

/** The longest conversation that all templates take: each text of it another one, in identifiers a nine-letter one at first. */
function conversation(text: Texts, callId = 'call00001', schemaKey = text(0)): Conversation {
  const parameters = {
    type: 'object',
    description: text(1),
    properties: { [schemaKey]: { type: 'string', description: text(2), enum: [text(3), text(4)], default: text(5) } },
    required: [schemaKey],
  }
  const none = { reasoning: '', toolCalls: [], toolCallId: '', name: '' }
  return {
    messages: [
      { ...none, role: 'system', content: text(6) },
      { ...none, role: 'user', content: text(7) },
      { ...none, role: 'assistant', content: '', reasoning: text(8), toolCalls: [{ id: callId, name: text(9), arguments: JSON.stringify({ [schemaKey]: text(10), list: [text(11), 1, true, null] }) }] },
      { ...none, role: 'tool', content: text(12), toolCallId: callId, name: text(9) },
      { ...none, role: 'assistant', content: text(13) },
      { ...none, role: 'user', content: text(14) },
    ],
    tools: [{ name: text(9), description: text(15), parameters: JSON.stringify(parameters), strict: false, param: '' }],
    toolChoice: 0,
    toolName: '',
    singleToolCall: false,
    templateKwargs: JSON.stringify({ documents: [{ title: text(16), text: text(17) }], custom: text(18) }),
    reasoningEffort: '',
    addGenerationPrompt: true,
  }
}

const places = 19

function withoutTools(given: Conversation): Conversation {
  return { ...given, tools: [], messages: given.messages.filter(({ role, toolCalls }) => role !== 'tool' && toolCalls.length === 0) }
}

/** Undefined where the template refuses. */
function render(name: string, given: Conversation): readonly Piece[] | undefined {
  const { model } = loaded(name)
  const parsed = parseConversation(model.tools ? given : withoutTools(given))
  try {
    return model.render(parsed)
  } catch (thrown) {
    if (thrown instanceof ServiceError && thrown.reason === 'template_rejected') return undefined
    throw thrown
  }
}

function textOf(pieces: readonly Piece[] | undefined): string {
  return (pieces ?? []).map((piece) => (typeof piece === 'string' ? piece : piece.text)).join('')
}

function controlsOf(pieces: readonly Piece[]): string[] {
  return pieces.flatMap((piece) => (typeof piece !== 'string' && piece.control ? [piece.text] : []))
}

describe.each(names)('%s', (name) => {
  const { model, spellings } = loaded(name)

  test('tells the model of tools, calls and results', () => {
    const text = textOf(render(name, conversation((place) => `text${place}x`)))
    const called = withoutCalls.has(name) ? [] : [10, 11]
    const seen = model.tools ? [6, 7, 9, ...called, 12, 13, 14, 15] : [6, 7, 13, 14]
    for (const place of seen) expect(text).toContain(`text${place}x`)
  })

  test.each(['items', 'keys', 'values', 'get', 'type', 'name', '__proto__', 'constructor', '1'])('takes a tool with an argument named %s', (key) => {
    const text = textOf(render(name, conversation((place) => `text${place}x`, 'call00001', key)))
    for (const place of [7, 14]) expect(text).toContain(`text${place}x`)
    if (model.tools) for (const part of [key, 'text15x']) expect(text).toContain(part)
  })

  test('takes arguments of many numbers, and writes each as it is', () => {
    const numbers = Array.from({ length: 10_000 }, (_, i) => i / 7)
    const given = conversation((place) => `text${place}x`)
    const messages = given.messages.map((message) => ({ ...message, toolCalls: message.toolCalls.map((call) => ({ ...call, arguments: JSON.stringify({ numbers, id: 'ID' }).replace('"ID"', '12345678901234567890') })) }))
    const text = textOf(render(name, { ...given, messages }))
    expect(text).toContain('text14x')
    if (!model.tools || withoutCalls.has(name)) return
    expect(text).toContain('428.42857142857144')
    expect(text).toContain('12345678901234567890')
  })

  test('takes a schema and arguments of 60 levels', () => {
    let schema: object = { type: 'string', description: 'deepest' }
    let value: unknown = 'deepest'
    for (let level = 0; level < 14; level++) {
      schema = { type: 'object', properties: { a: { type: 'array', items: schema } } }
      value = { a: [[value]] }
    }
    const given = conversation((place) => `text${place}x`)
    const [tool] = given.tools
    if (tool === undefined) throw new Error('no tool')
    const messages = given.messages.map((message) => ({ ...message, toolCalls: message.toolCalls.map((call) => ({ ...call, arguments: JSON.stringify(value) })) }))
    expect(textOf(render(name, { ...given, messages, tools: [{ ...tool, parameters: JSON.stringify(schema) }] }))).toContain('text14x')
  })

  // Those that templates, the library and ourselves give a meaning to.
  test.each(['range', 'namespace', 'true', 'none', 'loop', 'message', 'ns', 'loop_messages', 'documents', 'controls', 'custom_tools', 'date_string', '__proto__', 'toString'])(
    'a template variable named %s does no more than the template lets it',
    (variable) => {
      const withVariable = (value: unknown): readonly Piece[] | undefined => {
        const templateKwargs = `{${JSON.stringify(variable)}: ${JSON.stringify(value)}}`
        try {
          return render(name, { ...conversation((place) => `text${place}x`), templateKwargs })
        } catch (thrown) {
          expect(thrown).toMatchObject({ code: 'INVALID_ARGUMENT' })
          return undefined
        }
      }
      const harmless = withVariable('harmless')
      for (const spelling of spellings) {
        const hostile = withVariable(`x${spelling}x`)
        expect(hostile === undefined).toBe(harmless === undefined)
        expect(controlsOf(hostile ?? [])).toEqual(controlsOf(harmless ?? []))
      }
      for (const value of [1, null, [spellings], { [spellings[0] ?? '']: spellings }]) withVariable(value)
    },
  )

  test('no text of the client becomes a control token, wherever it stands', () => {
    const halves = spellings.flatMap((spelling) => [spelling.slice(0, -1), spelling.slice(1), spelling.slice(1, -1)])
    const fragment = fc.oneof(fc.constantFrom(...spellings), fc.constantFrom(...halves), fc.constantFrom('<', '>', '|', ' ', '\n', '"', '\\', '\u{fdd0}', '\u{e000}', 'x'))
    const text = fc.array(fragment, { maxLength: 3 }).map((fragments) => `x${fragments.join('')}x`)
    fc.assert(
      fc.property(fc.array(text, { minLength: places + 1, maxLength: places + 1 }), (texts) => {
        const harmless = render(name, conversation((place) => `text${place}x`))
        // Of nine characters: Mistral's templates take no other id.
        const callId = (texts[places] ?? '').slice(1, 10).padEnd(9, 'x')
        const hostile = render(name, conversation((place) => texts[place] ?? '', callId))
        if (harmless === undefined) throw new Error('refused')
        if (hostile !== undefined) expect(controlsOf(hostile)).toEqual(controlsOf(harmless))
      }),
      { numRuns: 100 },
    )
  })
})

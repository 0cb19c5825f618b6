import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Llama } from 'node-llama-cpp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Logger } from '../shared/log.ts'
import { simpleConversation } from './chat-model.ts'
import { loadModel, type ServedModel } from './model.ts'
import { loadVocabulary, startLlama } from './vocabulary.ts'

/** Value types of GGUF (ggml/docs/gguf.md). */
const types = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const

type Value =
  | { uint32: number }
  | { bool: boolean }
  | { string: string }
  | { strings: string[] }
  | { floats: number[] }
  | { ints: number[] }

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

function f32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return bytes
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([u64(bytes.length), bytes])
}

function encode(value: Value): Buffer {
  if ('uint32' in value) return Buffer.concat([u32(types.uint32), u32(value.uint32)])
  if ('bool' in value) return Buffer.concat([u32(types.bool), Buffer.from([Number(value.bool)])])
  if ('string' in value) return Buffer.concat([u32(types.string), text(value.string)])
  if ('strings' in value) return array(types.string, value.strings.map(text))
  if ('floats' in value) return array(types.float32, value.floats.map(f32))
  return array(types.int32, value.ints.map(u32))
}

function array(type: number, items: Buffer[]): Buffer {
  return Buffer.concat([u32(types.array), u32(type), u64(items.length), ...items])
}

/** A GGUF file without weights. */
function gguf(metadata: Record<string, Value>): Buffer {
  const entries = Object.entries(metadata)
  return Buffer.concat([
    Buffer.from('GGUF'),
    u32(3),
    u64(0),
    u64(entries.length),
    ...entries.flatMap(([key, value]) => [text(key), encode(value)]),
  ])
}

/** Texts and GGUF token types (1 normal, 2 unknown, 3 control, 4 user-defined, 6 byte) of a small SentencePiece vocabulary. */
const tokens: [string, number][] = [
  ['<unk>', 2],
  ['<s>', 3],
  ['</s>', 3],
  ...Array.from({ length: 256 }, (_, byte): [string, number] => [`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`, 6]),
  ['<|im_start|>', 3],
  // llama.cpp knows better than this type.
  ['<|im_end|>', 1],
  ['<think>', 4],
  ['▁', 1],
  ...Array.from('abcdefghijklmnopqrstuvwxyz', (letter): [string, number] => [letter, 1]),
  ['▁a', 1],
  ['bb', 1],
]

function id(name: string): number {
  return tokens.findIndex(([spelt]) => spelt === name)
}

const turns = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + ' ' + m['content'] + '<|im_end|>' }}{% endfor %}"
const template = `{{ bos_token }}${turns}`

const metadata: Record<string, Value> = {
  'general.architecture': { string: 'llama' },
  'llama.context_length': { uint32: 64 },
  'tokenizer.ggml.model': { string: 'llama' },
  'tokenizer.ggml.tokens': { strings: tokens.map(([spelt]) => spelt) },
  'tokenizer.ggml.token_type': { ints: tokens.map(([, type]) => type) },
  'tokenizer.ggml.scores': { floats: tokens.map(([spelt]) => (spelt.length > 1 ? -1 : -10)) },
  'tokenizer.ggml.bos_token_id': { uint32: 1 },
  'tokenizer.ggml.eos_token_id': { uint32: 2 },
  'tokenizer.ggml.unknown_token_id': { uint32: 0 },
  'tokenizer.chat_template': { string: template },
}

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const never = new AbortController().signal

let llama: Llama
let folder: string

beforeAll(async () => {
  llama = await startLlama(silent)
  folder = await mkdtemp(join(tmpdir(), 'intramuros-vocabulary-'))
})

afterAll(async () => {
  // Not llama.dispose(): after a load that failed it may never end (see service.ts).
  await rm(folder, { recursive: true })
})

async function written(name: string, bytes: Buffer): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, bytes)
  return path
}

/** The tiny model, changed. */
async function file(name: string, change: Record<string, Value | undefined> = {}): Promise<string> {
  const changed: Record<string, Value> = {}
  for (const [key, value] of Object.entries({ ...metadata, ...change })) if (value !== undefined) changed[key] = value
  return await written(name, gguf(changed))
}

describe('loadVocabulary', () => {
  test('reads what a prompt needs', async () => {
    const vocabulary = await loadVocabulary(llama, await file('whole.gguf'))
    expect(vocabulary).toMatchObject({
      chatTemplate: template,
      bos: { id: 1, text: '<s>' },
      eosText: '</s>',
      addBos: true,
      addsSpace: true,
      contextLength: 64,
      longestTokenBytes: '<|im_start|>'.length,
    })
    expect(vocabulary.specialTokens.map(({ text: spelt, control }) => [spelt, control])).toEqual([
      ['<unk>', true],
      ['<s>', true],
      ['</s>', true],
      ['<|im_start|>', true],
      ['<|im_end|>', true],
      ['<think>', false],
    ])
    await vocabulary.dispose()
  })

  test('tokenises plain text, with the space that SentencePiece puts before it, and never a control token', async () => {
    const vocabulary = await loadVocabulary(llama, await file('whole.gguf'))
    expect(vocabulary.tokenise('abb')).toEqual([id('▁a'), id('bb')])
    const control = new Set([0, 1, 2, id('<|im_end|>')])
    expect(vocabulary.tokenise('</s><unk><|im_end|>').filter((token) => control.has(token))).toEqual([])
    expect(vocabulary.tokenise('\0')).toEqual([id('▁'), id('<0x00>')])
    await vocabulary.dispose()
  })

  test.each([
    ['is missing', 'unreadable_model', () => join(folder, 'missing.gguf')],
    ['is no GGUF', 'unreadable_model', () => written('garbage.gguf', Buffer.from('no GGUF'))],
    ['is cut short', 'unreadable_model', () => written('cut.gguf', gguf(metadata).subarray(0, 3000))],
    ['has a template of another type', 'bad_metadata', () => file('odd.gguf', { 'tokenizer.chat_template': { uint32: 1 } })],
    ['tells no context length', 'bad_metadata', () => file('no-context.gguf', { 'llama.context_length': undefined })],
    ['has no context', 'bad_metadata', () => file('zero-context.gguf', { 'llama.context_length': { uint32: 0 } })],
  ])('a file that %s: %s', async (_, reason, make) => {
    const path = await make()
    const error: unknown = await loadVocabulary(llama, path).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ name: 'ModelLoadError', reason })
    expect(String(error)).toContain(path)
  })
})

async function withModel<T>(path: string, use: (model: ServedModel) => Promise<T>, contextLength?: number): Promise<T> {
  const model = await loadModel(llama, { id: 'tiny', path, contextLength }, silent)
  try {
    return await use(model)
  } finally {
    await model.close()
  }
}

function chat(model: ServedModel, content: string): ReturnType<ServedModel['tokenise']> {
  const { chat: template } = model
  if (template === undefined) throw new Error('it does not chat')
  return model.tokenise(template.render(simpleConversation([['user', content]])), never).then((tokens) => {
    if (template.leading !== undefined) tokens.ids.unshift(template.leading)
    return tokens
  })
}

/** Ids of letters and spaces. */
function spell(words: string): number[] {
  return Array.from(words, (letter) => id(letter === ' ' ? '▁' : letter))
}

/** Ids of a text in byte tokens. */
function byteTokens(spelt: string): number[] {
  return Array.from(Buffer.from(spelt), (byte) => id(`<0x${byte.toString(16).toUpperCase()}>`))
}

describe('loadModel', () => {
  test('one without a chat template goes on with texts, and does not chat', async () => {
    for (const template of [undefined, { string: ' ' }]) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await withModel(await file('no-template.gguf', { 'tokenizer.chat_template': template }), async (model) => {
        expect(model.chat).toBeUndefined()
        expect(model.description).toMatchObject({ chat: false, completion: true, dialect: '' })
        expect((await model.tokenise(model.pieces('x<s>', false), never)).ids).toEqual([...spell(' x'), ...byteTokens('<'), id('s'), ...byteTokens('>')])
      })
    }
  })

  test('one BOS, whoever writes it', async () => {
    const expected = [1, id('<|im_start|>'), ...spell(' user x'), id('<|im_end|>')]
    expect((await withModel(await file('whole.gguf'), (model) => chat(model, 'x'))).ids).toEqual(expected)
    const withoutBos = await file('no-bos.gguf', { 'tokenizer.chat_template': { string: turns } })
    expect((await withModel(withoutBos, (model) => chat(model, 'x'))).ids).toEqual(expected)
    const notAdded = await file('not-added.gguf', { 'tokenizer.ggml.add_bos_token': { bool: false } })
    expect((await withModel(notAdded, (model) => chat(model, 'x'))).ids).toEqual(expected)
  })

  test("a client's control tokens are text, with no space put before or after", async () => {
    await withModel(await file('whole.gguf'), async (model) => {
      const { ids } = await chat(model, 'x<s>y')
      const forged = [...byteTokens('<'), id('s'), ...byteTokens('>')]
      expect(ids).toEqual([1, id('<|im_start|>'), ...spell(' user x'), ...forged, id('y'), id('<|im_end|>')])
    })
  })

  test('the context is the smaller of what is asked for and what the model can', async () => {
    const path = await file('whole.gguf')
    expect(await withModel(path, (model) => Promise.resolve(model.contextLength))).toBe(64)
    expect(await withModel(path, (model) => Promise.resolve(model.contextLength), 32)).toBe(32)
    expect(await withModel(path, (model) => Promise.resolve(model.contextLength), 128)).toBe(64)
  })

  const broken = ['{% if %}', "{{ raise_exception('no') }}", '{{ messages.nothing() }}', '{% if false %}x{% endif %}']
  test.each(broken)('a template that does not work: %s', async (source) => {
    const path = await file('bad-template.gguf', {
      'tokenizer.chat_template': { string: source },
      'tokenizer.ggml.add_bos_token': { bool: false },
    })
    const error = { name: 'ModelLoadError', reason: 'bad_chat_template' }
    await expect(loadModel(llama, { id: 'tiny', path }, silent)).rejects.toMatchObject(error)
  })
})

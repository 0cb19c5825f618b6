import { readdirSync, readFileSync } from 'node:fs'
import { Template } from '@huggingface/jinja'
import { describe, expect, it } from 'vitest'
import { chooseDialect, dialectNamed, dialects } from './dialect.ts'
import { textWithout } from './text-without.ts'
import { callsIn, parseOutput, textIn } from './test-support/parse-output.ts'

const folder = new URL('../../../test/fixtures/templates/', import.meta.url)
const source = (name: string): string => readFileSync(new URL(`${name}.jinja`, folder), 'utf8')

const expected: Record<string, string> = {
  'deepseek-r1-distill': 'deepseek-r1',
  'deepseek-v3.1': 'deepseek-v3',
  'gemma-2': 'plain',
  'gemma-4': 'gemma4',
  'gpt-oss': 'harmony',
  'granite-3.3': 'granite',
  'granite-4.0': 'hermes',
  'kimi-k2-thinking': 'kimi-think',
  'llama-3.1': 'llama3',
  'llama-3.2': 'llama3',
  'ministral-3-reasoning': 'mistral-think',
  'mistral-nemo': 'mistral-list',
  'mistral-small-3.2': 'mistral',
  'phi-3.5-mini': 'plain',
  'qwen2.5': 'hermes',
  'qwen3': 'hermes-think',
  'qwen3-coder': 'plain',
  smollm2: 'smollm',
  'smollm3-unsloth': 'plain-think',
}

describe('choosing a dialect', () => {
  it.each(Object.entries(expected))('%s', (name, dialect) => {
    expect(chooseDialect(source(name)).name).toBe(dialect)
  })

  it('all template fixtures are looked at', () => {
    const names = readdirSync(folder).filter((name) => name.endsWith('.jinja'))
    expect(names.map((name) => name.replace('.jinja', '')).toSorted()).toEqual(Object.keys(expected).toSorted())
  })

  it.each([
    ['{{ messages[0].content }}', 'plain'],
    ['{{ messages[0].content }}<think>', 'plain-think'],
    ['{{ tools | tojson }}', 'generic'],
    ['{% if tools %}{{ tools }}{% endif %}</think>', 'generic-think'],
    ["{{ '<|' + message['role'] + '|>' + message['content'] + '<|tool|>' + message['tools'] + '<|/tool|>' }}", 'phi'],
    ["{{ '<start_of_turn>user' }}{{ tools | tojson }}", 'gemma'],
    ['', 'plain'],
  ])('of %s', (template, dialect) => {
    expect(chooseDialect(template).name).toBe(dialect)
  })
})

describe('the table', () => {
  it('finds each dialect by its name', () => {
    for (const dialect of dialects) expect(dialectNamed(dialect.name)).toBe(dialect)
    expect(dialectNamed('')).toBeUndefined()
  })

  it('has only markers that a grammar can look for', () => {
    for (const { tools, reasoning } of dialects) {
      const triggers = tools?.unmistakable === true ? [tools.calls.begin, tools.call.begin] : []
      for (const marker of [...triggers, reasoning?.end ?? '']) {
        if (marker.trim() !== '') expect(() => textWithout(marker.trim())).not.toThrow()
      }
    }
  })

  it('names the special tokens that must be seen', () => {
    expect(dialectNamed('hermes-think')?.markers.toSorted()).toEqual(['</think>', '</tool_call>', '<think>', '<tool_call>'])
    expect(dialectNamed('mistral')?.markers.toSorted()).toEqual(['[ARGS]', '[CALL_ID]', '[TOOL_CALLS]'])
    expect(dialectNamed('gemma4')?.markers).toContain('<|"|>')
    expect(dialectNamed('deepseek-r1')?.markers).toContain('<｜tool▁sep｜>')
    expect(dialectNamed('plain')?.markers).toEqual([])
  })
})

/** Templates that render the calls of a conversation's past: what a model sees of them is what it will write. */
const rendering = ['deepseek-v3.1', 'gemma-4', 'gpt-oss', 'granite-4.0', 'llama-3.1', 'llama-3.2', 'ministral-3-reasoning', 'mistral-nemo', 'mistral-small-3.2', 'qwen2.5', 'qwen3']

describe('what a template writes of a call is read as that call', () => {
  it.each(rendering)('%s', (name) => {
    const dialect = chooseDialect(source(name))
    const args = { city: 'Oslo "N"', days: 2, deep: { list: [true, 'x', 1.5] } }
    const call = { id: '123456789', type: 'function', function: { name: 'get_weather', arguments: args } }
    const template = new Template(`{% set strftime_now = today %}${source(name)}`)
    const render = (messages: object[], generation: boolean): string => {
      const enable_thinking = name !== 'deepseek-v3.1'
      const today = (): string => 'today'
      return template.render({ messages, add_generation_prompt: generation, bos_token: '', eos_token: '', enable_thinking, today })
    }
    const user = { role: 'user', content: 'How is it?' }
    const asked = render([user], true)
    const answered = render([user, { role: 'assistant', content: '', tool_calls: [call] }], false)
    expect(answered.slice(0, asked.length)).toBe(asked)
    const output = answered.slice(asked.length).replace(/(?:<\|(?:im_end|eot_id|eom_id|end_of_text|tool_response)\|?>|<｜end▁of▁sentence｜>)?\s*$/, '')
    const parts = parseOutput(dialect, [output], { toolNames: ['get_weather'], reasoningOpen: false })
    const [read, ...others] = callsIn(parts)
    expect(others).toEqual([])
    expect(read?.name).toBe('get_weather')
    expect(JSON.parse(read?.arguments ?? '')).toEqual(args)
    expect(textIn(parts)).toBe('')
  })
})

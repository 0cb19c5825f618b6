import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createGrammarBuilder } from '../grammar/builder.ts'
import { SchemaError } from '../grammar/schema-error.ts'
import { grammarMatcher, type Matcher } from '../grammar/testing.ts'
import { formatGrammar, type ReasoningState } from './answer-grammar.ts'
import { dialects, type Dialect } from './dialect.ts'
import { createRegExpBuilder } from './test-support/grammar-as-regexp.ts'
import { callsIn, parseOutput, textIn } from './test-support/parse-output.ts'
import { renderCalls } from './test-support/render-calls.ts'
import { textWithout } from './text-without.ts'
import { toolGrammar, type GrammarTool, type ToolGrammarOptions } from './tool-grammar.ts'

const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false }
const tools: GrammarTool[] = [
  { name: 'get_weather', parameters, pointer: '/tools/0' },
  { name: 'search-2.x', parameters: undefined, pointer: '/tools/1' },
]
const toolNames = tools.map(({ name }) => name)
const call = { name: 'get_weather', arguments: '{"city":"Oslo"}' }
const wrong = { name: 'get_weather', arguments: '{"town":"Oslo"}' }
const other = { name: 'search-2.x', arguments: '{"a":[{}],"b":null}' }
const each = dialects.filter(({ tools }) => tools !== undefined).map((dialect): [string, Dialect] => [dialect.name, dialect])

/** Tells whole answers of the grammar, with what comes before it holds. */
function matcher(dialect: Dialect, options: ToolGrammarOptions): Matcher {
  const builder = createGrammarBuilder()
  const grammar = toolGrammar(builder, dialect, tools, options)
  if (grammar === undefined) throw new Error('no grammar')
  return grammarMatcher(builder.build(grammar.root), { after: grammar.after })
}

/** What is not JSON is made JSON, without the spaces between values. */
function spelt(dialect: Dialect, output: string): string {
  return dialect.tools?.form.kind === 'unquoted' ? output.replaceAll(' ', '') : output
}

describe.each(each)('%s', (_, dialect) => {
  it('what a grammar for required calls derives is read as calls and nothing else', () => {
    const builder = createRegExpBuilder()
    const grammar = toolGrammar(builder, dialect, tools, { choice: 'required', single: false, reasoning: 'none' })
    expect(grammar?.after).toEqual([])
    fc.assert(
      fc.property(fc.stringMatching(builder.regexp(grammar?.root ?? '')), (output) => {
        const parts = parseOutput(dialect, [output], { toolNames, reasoningOpen: false })
        const calls = callsIn(parts)
        expect(calls.length).toBeGreaterThan(0)
        for (const call of calls) expect(JSON.parse(call.arguments)).toBeTypeOf('object')
        expect(textIn(parts) + textIn(parts, 'reasoning')).toBe('')
        expect(spelt(dialect, renderCalls(dialect, calls))).toBe(spelt(dialect, output))
      }),
      { numRuns: 60 },
    )
  })

  it('keeps to the tools and their schemas', () => {
    const matches = matcher(dialect, { choice: 'required', single: false, reasoning: 'none' })
    expect(matches(renderCalls(dialect, [call]))).toBe(true)
    expect(matches(renderCalls(dialect, [other]))).toBe(true)
    expect(matches(renderCalls(dialect, [wrong]))).toBe(false)
    expect(matches(renderCalls(dialect, [{ ...call, name: 'unknown' }]))).toBe(false)
    expect(matches(`Well. ${renderCalls(dialect, [call])}`)).toBe(false)
    expect(matches('')).toBe(false)
    const several = dialect.tools?.separator !== undefined || (dialect.tools?.form.kind === 'object' && dialect.tools.form.list)
    expect(matches(renderCalls(dialect, [call, other, call]))).toBe(several)
    const single = matcher(dialect, { choice: 'named', single: true, reasoning: 'none' })
    expect(single(renderCalls(dialect, [call]))).toBe(true)
    expect(single(renderCalls(dialect, [call, call]))).toBe(false)
  })

  it('reasoning before required calls', () => {
    if (dialect.reasoning === undefined) return
    const { begin, end } = dialect.reasoning
    const reasoning = `Hm, ${end.slice(0, -1)} ${begin} <<.${end}`
    const gap = dialect.harmony ? '<|start|>assistant' : '\n\n'
    const calls = renderCalls(dialect, [call])
    const possible = matcher(dialect, { choice: 'required', single: true, reasoning: 'possible' })
    expect(possible(calls)).toBe(true)
    expect(possible(begin.trim() + reasoning + gap + calls)).toBe(true)
    expect(possible(begin.trim() + reasoning)).toBe(false)
    expect(possible(begin.trim() + reasoning + reasoning + gap + calls)).toBe(false)
    expect(possible(`Well. ${calls}`)).toBe(false)
    const open = matcher(dialect, { choice: 'required', single: true, reasoning: 'open' })
    expect(open(reasoning + gap + calls)).toBe(true)
    expect(open(`${reasoning}${gap}Well. ${calls}`)).toBe(false)
    const parts = parseOutput(dialect, [reasoning + gap + calls], { toolNames, reasoningOpen: true })
    expect(callsIn(parts)).toEqual([call])
    expect(textIn(parts)).toBe('')
    expect(textIn(parts, 'reasoning') + end).toBe(reasoning)
  })

  it('with auto, a call once it is begun', () => {
    const options = { choice: 'auto', single: false, reasoning: 'none' } as const
    if (dialect.tools?.unmistakable !== true) {
      expect(toolGrammar(createGrammarBuilder(), dialect, tools, options)).toBeUndefined()
      return
    }
    const matches = matcher(dialect, options)
    const output = `Let me <see>.\n${renderCalls(dialect, [call])}`
    expect(matches(output)).toBe(true)
    expect(matches(output.slice(0, -1))).toBe(false)
    expect(matches(`${output} `)).toBe(false)
    expect(matches(`Let me see.\n${renderCalls(dialect, [wrong])}`)).toBe(false)
  })

  it('with auto, a call after the reasoning and text, or none', () => {
    if (dialect.reasoning === undefined || dialect.tools?.unmistakable !== true || dialect.harmony) return
    const { begin, end } = dialect.reasoning
    const calls = renderCalls(dialect, [call])
    const open = matcher(dialect, { choice: 'auto', single: false, reasoning: 'open' })
    const possible = matcher(dialect, { choice: 'auto', single: false, reasoning: 'possible' })
    const reasoned = `I might ${renderCalls(dialect, [wrong])} it.${end}`
    for (const [answer, matching] of [
      ['', true],
      ['Hello < [ <| 😀', true],
      [calls, true],
      [`Let me see.\n${calls}`, true],
      [calls.slice(0, -1), false],
      [renderCalls(dialect, [wrong]), false],
      [`Hm ${calls} and so on`, false],
    ] as const) {
      expect(open(reasoned + answer)).toBe(matching)
      expect(possible(answer)).toBe(matching)
      expect(possible(begin.trim() + reasoned + answer)).toBe(matching)
    }
  })
})

describe.each(dialects.map((dialect): [string, Dialect] => [dialect.name, dialect]))('a format in %s', (_, dialect) => {
  const json = '{"answer":1}'
  const text = dialect.harmony ? `<|channel|>final<|message|>${json}` : json
  const begin = dialect.reasoning?.begin.trim() ?? ''
  const reasoned = dialect.reasoning === undefined ? '' : `Hm.${dialect.reasoning.end}${dialect.harmony ? '<|start|>assistant' : '\n\n'}`
  const make = (reasoning: ReasoningState, withTools: boolean): Matcher => {
    const builder = createGrammarBuilder()
    const format = builder.schema({ type: 'object', properties: { answer: { type: 'integer' } }, required: ['answer'] }, '')
    const options = { choice: 'auto', single: false, reasoning, format } as const
    const grammar = withTools ? toolGrammar(builder, dialect, tools, options) : formatGrammar(builder, dialect, format, reasoning)
    return grammarMatcher(builder.build(grammar?.root ?? ''), { after: grammar?.after ?? [] })
  }

  it.each(['none', 'possible', 'open'] as const)('with reasoning %s', (reasoning) => {
    const before = reasoning === 'none' || reasoned === '' ? [''] : reasoning === 'open' ? [reasoned] : ['', begin + reasoned]
    const alone = make(reasoning, false)
    for (const start of before) {
      expect(alone(start + text)).toBe(true)
      expect(alone(`${start}Well. ${text}`)).toBe(false)
    }
    if (dialect.tools === undefined) return
    const orCall = make(reasoning, true)
    for (const start of before) {
      expect(orCall(start + text)).toBe(true)
      expect(orCall(start + renderCalls(dialect, [call]))).toBe(true)
      expect(orCall(start + renderCalls(dialect, [wrong]))).toBe(false)
      expect(orCall(`${start}Well.`)).toBe(false)
    }
  })

  it('is read as text', () => {
    const parts = parseOutput(dialect, [begin + reasoned + text], { toolNames, reasoningOpen: false })
    expect(textIn(parts)).toBe(json)
    expect(callsIn(parts)).toEqual([])
  })
})

describe('what arguments may be', () => {
  const dialect = dialects.find(({ name }) => name === 'hermes')
  const required = { choice: 'required', single: true, reasoning: 'none' } as const
  const accepts = (parameters: unknown, args: string): boolean => {
    if (dialect === undefined) throw new Error('hermes')
    const builder = createGrammarBuilder()
    const grammar = toolGrammar(builder, dialect, [{ name: 'f', parameters, pointer: '' }], required)
    return grammarMatcher(builder.build(grammar?.root ?? ''))(renderCalls(dialect, [{ name: 'f', arguments: args }]))
  }

  it.each([[undefined], [{}], [true], [{ description: 'anything' }], [{ type: ['object', 'null'] }]])('an object, even where %j does not say so', (parameters) => {
    expect(accepts(parameters, '{"a":1}')).toBe(true)
    expect(accepts(parameters, '[1]')).toBe(false)
    expect(accepts(parameters, '1')).toBe(false)
  })

  it('a schema that only lists properties is one of an object', () => {
    expect(accepts({ properties: { a: { type: 'integer' } }, required: ['a'] }, '{"a":1}')).toBe(true)
    expect(accepts({ properties: { a: { type: 'integer' } }, required: ['a'] }, '{"a":"x"}')).toBe(false)
  })

  it('names the place of what a schema has that can not be honoured', () => {
    if (dialect === undefined) throw new Error('hermes')
    for (const type of ['string', ['array', 'null'], 'nothing known']) {
      const tool = { name: 'f', parameters: { type }, pointer: '/tools/3/parameters' }
      const make = (): unknown => toolGrammar(createGrammarBuilder(), dialect, [tool], required)
      expect(make).toThrow(SchemaError)
      expect(make).toThrow('/tools/3/parameters/type: The arguments of a tool are an object')
    }
  })

  it('nothing to constrain where there are no tools', () => {
    for (const dialect of dialects) expect(toolGrammar(createGrammarBuilder(), dialect, [], required)).toBeUndefined()
  })
})

describe('text without a marker', () => {
  it.each(['</think>', '[TOOL_CALLS]', '<a', 'x'])('%s', (marker) => {
    const { before, partial } = textWithout(marker)
    const without = grammarMatcher(`root ::= ${before} ${partial}`)
    const text = fc.array(fc.constantFrom(...Array.from({ length: marker.length }, (_, i) => marker.slice(0, i + 1)), marker.charAt(0), 'é', '\n', ...marker.split('')), { maxLength: 8 })
    fc.assert(
      fc.property(text, (pieces) => {
        expect(without(pieces.join(''))).toBe(!pieces.join('').includes(marker))
      }),
      { numRuns: 500 },
    )
  })
})

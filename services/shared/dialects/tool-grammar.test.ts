import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dialects, type Dialect } from './dialect.ts'
import { callsIn, parseOutput, textIn } from './test-support/parse-output.ts'
import { createRegExpBuilder } from './test-support/grammar-as-regexp.ts'
import { renderCalls } from './test-support/render-calls.ts'
import { toolGrammar, type GrammarTool, type ToolGrammarOptions } from './tool-grammar.ts'

const tools: GrammarTool[] = [
  { name: 'get_weather', parameters: undefined, pointer: '/tools/0' },
  { name: 'search-2.x', parameters: { type: 'object' }, pointer: '/tools/1' },
]
const toolNames = tools.map(({ name }) => name)
const withTools = dialects.filter((dialect) => dialect.tools !== undefined)
const each = withTools.map((dialect): [string, Dialect] => [dialect.name, dialect])

function made(dialect: Dialect, options: ToolGrammarOptions): { regexp: RegExp; after: readonly string[] } {
  const builder = createRegExpBuilder()
  const grammar = toolGrammar(builder, dialect, tools, options)
  if (grammar === undefined) throw new Error('no grammar')
  return { regexp: builder.regexp(grammar.root), after: grammar.after }
}

/** What is not JSON is made JSON, without the spaces between values. */
function spelt(dialect: Dialect, output: string): string {
  return dialect.tools?.form.kind === 'unquoted' ? output.replaceAll(' ', '') : output
}

describe.each(each)('%s', (_, dialect) => {
  it('what a grammar for required calls derives is read as calls and nothing else', () => {
    const { regexp, after } = made(dialect, { choice: 'required', single: false, reasoning: 'none' })
    expect(after).toEqual([])
    fc.assert(
      fc.property(fc.stringMatching(regexp), (output) => {
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

  it('one call where only one is wanted', () => {
    const { regexp } = made(dialect, { choice: 'named', single: true, reasoning: 'none' })
    const call = { name: 'get_weather', arguments: '{"a":1}' }
    expect(renderCalls(dialect, [call])).toMatch(regexp)
    expect(renderCalls(dialect, [call, call])).not.toMatch(regexp)
  })

  it('reasoning before required calls', () => {
    if (dialect.reasoning === undefined) return
    const { begin, end } = dialect.reasoning
    const call = { name: 'get_weather', arguments: '{"a":1}' }
    const reasoning = `Hm, ${end.slice(0, -1)} ${begin} <<.`
    const gap = dialect.harmony ? '<|start|>assistant' : '\n\n'
    const rest = gap + renderCalls(dialect, [call])
    const possible = made(dialect, { choice: 'required', single: true, reasoning: 'possible' })
    expect(possible.after).toEqual([])
    expect(renderCalls(dialect, [call])).toMatch(possible.regexp)
    expect(begin.trim() + reasoning + end + rest).toMatch(possible.regexp)
    expect(begin.trim() + reasoning + end).not.toMatch(possible.regexp)
    expect(begin.trim() + reasoning + end + reasoning + end + rest).not.toMatch(possible.regexp)
    const open = made(dialect, { choice: 'required', single: true, reasoning: 'open' })
    expect(open.after).toEqual([end])
    expect(rest).toMatch(open.regexp)
    const parts = parseOutput(dialect, [reasoning + end + rest], { toolNames, reasoningOpen: true })
    expect(callsIn(parts)).toEqual([call])
    expect(textIn(parts)).toBe('')
    expect(textIn(parts, 'reasoning')).toBe(reasoning)
  })

  it('with auto, a call once it is begun', () => {
    const options = { choice: 'auto', single: false, reasoning: 'none' } as const
    if (dialect.tools?.unmistakable !== true) {
      expect(toolGrammar(createRegExpBuilder(), dialect, tools, options)).toBeUndefined()
      return
    }
    const { regexp, after } = made(dialect, options)
    const call = { name: 'get_weather', arguments: '{"a":1}' }
    const output = renderCalls(dialect, [call])
    const trigger = after.find((text) => output.startsWith(text)) ?? 'none'
    expect(output.slice(trigger.length)).toMatch(regexp)
    expect(output.slice(trigger.length, -5)).not.toMatch(regexp)
    expect(`${output.slice(trigger.length)} `).not.toMatch(regexp)
  })

  it('with auto, a call after the reasoning and text, or none', () => {
    if (dialect.reasoning === undefined || dialect.tools?.unmistakable !== true || dialect.harmony) return
    const { begin, end } = dialect.reasoning
    const call = { name: 'get_weather', arguments: '{"a":1}' }
    const calls = renderCalls(dialect, [call])
    const open = made(dialect, { choice: 'auto', single: false, reasoning: 'open' })
    expect(open.after).toEqual([end])
    const possible = made(dialect, { choice: 'auto', single: false, reasoning: 'possible' })
    expect(possible.after).toEqual([])
    const reasoned = `${begin.trim()}I might ${calls.slice(0, 20)} it.${end}`
    for (const [answer, matches] of [
      ['', true],
      ['Hello < [ <|', true],
      [calls, true],
      [`Let me see.\n${calls}`, true],
      [calls.slice(0, -4), false],
      [`Hm ${calls} and so on`, false],
    ] as const) {
      expect(open.regexp.test(answer)).toBe(matches)
      expect(possible.regexp.test(answer)).toBe(matches)
      expect(possible.regexp.test(reasoned + answer)).toBe(matches)
    }
  })
})

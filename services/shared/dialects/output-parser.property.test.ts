import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dialects, type Dialect } from './dialect.ts'
import { createJsonScanner } from './json-scanner.ts'
import { createOutputParser } from './output-parser.ts'
import { arbitraryOutput, cutAnywhere, markersOf } from './test-support/arbitrary-output.ts'
import { callsIn, mergeParts, parseOutput, textIn } from './test-support/parse-output.ts'
import { renderCalls } from './test-support/render-calls.ts'

const toolNames = ['get_weather', 'search']
const each = dialects.map((dialect): [string, Dialect] => [dialect.name, dialect])
const options = fc.record({ toolNames: fc.constantFrom(toolNames, toolNames, []), reasoningOpen: fc.boolean() })

describe.each(each)('%s', (_, dialect) => {
  const output = arbitraryOutput(dialect, toolNames)

  it('is read the same however it is cut, and never throws', () => {
    fc.assert(
      fc.property(output, options, fc.array(fc.nat(), { maxLength: 12 }), (output, options, cuts) => {
        const whole = parseOutput(dialect, [output], options)
        expect(parseOutput(dialect, cutAnywhere(output, cuts), options)).toEqual(whole)
        expect(parseOutput(dialect, output.split(''), options)).toEqual(whole)
      }),
      { numRuns: 300 },
    )
  })

  it('sends only the beginnings of JSON objects, and names of tools', () => {
    fc.assert(
      fc.property(output, options, (output, options) => {
        const parts = parseOutput(dialect, [output], options)
        for (const call of callsIn(parts)) {
          expect(options.toolNames).toContain(call.name)
          const scanner = createJsonScanner()
          expect(call.arguments.trimStart()).toMatch(/^\{/)
          expect(scanner.scan(call.arguments, 0, call.arguments.length)).toBe(call.arguments.length)
        }
        let calls = 0
        for (const part of parts) {
          if (part.kind === 'tool_call') expect(part.index).toBe(calls++)
          else if (part.kind === 'tool_arguments') expect(part.index).toBe(calls - 1)
          else expect(part.text).not.toBe('')
        }
      }),
      { numRuns: 200 },
    )
  })

  it('loses nothing where nothing is to be read', () => {
    if (dialect.harmony) return
    fc.assert(
      fc.property(output, (output) => {
        const begin = dialect.reasoning?.begin.trim()
        fc.pre(begin === undefined || !output.trimStart().startsWith(begin))
        const parts = parseOutput(dialect, [output], { toolNames: [], reasoningOpen: false })
        expect(parts).toEqual(output === '' ? [] : [{ kind: 'text', text: output }])
      }),
      { numRuns: 100 },
    )
  })

  it('sends no piece of a marker', () => {
    const { tools, reasoning } = dialect
    if (tools === undefined || dialect.harmony || !tools.unmistakable) return
    const begins = [tools.calls, tools.call, ...tools.also, ...(reasoning === undefined ? [] : [reasoning])]
    const openings = begins.map(({ begin }) => begin.trim()).filter((begin) => begin !== '')
    const opening = openings[0] ?? ''
    const call = { name: 'search', arguments: '{"q":1}' }
    const rendered = renderCalls(dialect, [call])
    const markers = markersOf(dialect)
    const piece = fc.oneof(
      fc.tuple(fc.constantFrom(...markers), fc.nat()).map(([text, at]) => text.slice(0, at % text.length)),
      fc.constantFrom('Hello', ' ', '\n', '<', '['),
    )
    const text = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(''))
    fc.assert(
      fc.property(text, (text) => {
        fc.pre(openings.every((marker) => !(text + opening).slice(0, -1).includes(marker)))
        const wanted = text.trimEnd()
        const parser = createOutputParser(dialect, { toolNames, reasoningOpen: false })
        let sent = ''
        const parts = []
        for (const char of (text + rendered).split('')) {
          const more = parser.push(char)
          parts.push(...more)
          sent += textIn(more)
          expect(wanted.startsWith(sent)).toBe(true)
        }
        parts.push(...parser.end())
        expect(callsIn(mergeParts(parts))).toEqual([call])
        expect(textIn(parts)).toBe(wanted)
      }),
      { numRuns: 200 },
    )
  })

  it('reads what is long and malicious in one go', () => {
    const markers = markersOf(dialect).map((marker) => marker.trim())
    const patterns = ['<', '{', '[', '"', '\\', ' ', '\n', '`', 'a', '{"a":', '{"name":"search","arguments":{"a":', ...markers]
    for (const pattern of patterns) {
      for (const before of ['', ...markers.slice(0, 2)]) {
        const output = before + pattern.repeat(5_000 / pattern.length)
        const parts = parseOutput(dialect, output.split(''), { toolNames, reasoningOpen: false })
        expect(JSON.stringify(parts).length).toBeLessThan(3 * output.length + 100)
      }
    }
  })
})

describe('a megabyte in single characters', () => {
  // In quadratic time, each of these would take hours.
  const million = 1_000_000
  it.each([
    ['hermes-think', '<'.repeat(million)],
    ['llama3', '{'.repeat(million)],
    ['hermes', '<tool_call>'.repeat(million / 11)],
    ['hermes', `<tool_call>${'{"a":'.repeat(million / 5)}`],
    ['hermes', `<tool_call>{"name": "search", "arguments": {"q": "${'{'.repeat(million)}`],
    ['hermes', ' '.repeat(million)],
    ['gemma4', `<|tool_call>call:search{${'a:<|"|>{'.repeat(million / 8)}`],
    ['harmony', '<|channel|>'.repeat(million / 11)],
  ])('%s', (name, output) => {
    const dialect = dialects.find((dialect) => dialect.name === name)
    if (dialect === undefined) throw new Error(name)
    const parts = parseOutput(dialect, output.split(''), { toolNames, reasoningOpen: false })
    const read = textIn(parts) + callsIn(parts).map((call) => call.arguments).join('')
    expect(read.length).toBeGreaterThan(0)
  })
})

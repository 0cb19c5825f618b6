import fc from 'fast-check'
import type { Dialect } from '../dialect.ts'
import { renderCalls } from './render-calls.ts'

/** All that has a meaning in a dialect. */
export function markersOf({ tools, reasoning, harmony, markers }: Dialect): string[] {
  const enclosings = [...(reasoning === undefined ? [] : [reasoning]), ...(tools === undefined ? [] : [tools.calls, tools.call, ...tools.also])]
  const all = [...markers, ...enclosings.flatMap(({ begin, end }) => [begin, end])]
  if (tools?.form.kind === 'named') all.push(tools.form.prefix, tools.form.id, tools.form.between, tools.form.after)
  if (tools?.form.kind === 'unquoted') all.push(tools.form.prefix, tools.form.quote)
  if (harmony) all.push('<|channel|>final<|message|>', '<|start|>assistant', '<|channel|>commentary to=functions.search<|message|>')
  return all.filter((marker) => marker.trim() !== '')
}

/** Outputs that a model may write: text, reasoning, calls, and all of these spoilt. */
export function arbitraryOutput(dialect: Dialect, toolNames: readonly string[]): fc.Arbitrary<string> {
  const markers = markersOf(dialect)
  const marker = markers.length === 0 ? fc.constant('<') : fc.constantFrom(...markers)
  const begun = fc.tuple(marker, fc.nat()).map(([text, at]) => text.slice(0, at % (text.length + 1)))
  const name = fc.constantFrom(...toolNames, 'unknown')
  const json = fc.dictionary(fc.string({ maxLength: 4 }), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 3 }).map((value) => JSON.stringify(value))
  const spelt = fc.oneof(json, json.map((text) => JSON.stringify(text)), fc.constantFrom('null', '', '[]', '{"a": {"b":', '"{'))
  const calls = fc
    .array(fc.record({ name, arguments: spelt }), { minLength: 1, maxLength: 3 })
    .map((calls) => (dialect.tools === undefined ? '' : renderCalls(dialect, calls)))
  const early = fc.tuple(name, spelt).map(([name, args]) => `{"arguments": ${args}, "id": "x", "name": ${JSON.stringify(name)}}`)
  const spoilt = fc
    .tuple(fc.oneof(calls, early), fc.nat(), fc.nat(3), fc.constantFrom('', '}', '"', '\\', '<', '{', '\n', 'x', '😀'))
    .map(([text, at, cut, more]) => text.slice(0, at % (text.length + 1)) + more + text.slice((at % (text.length + 1)) + cut))
  const plain = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 8 }), fc.constantFrom('Hello', ' ', '\n\n', '{', '[', '"', ',', ':', '}', ']', '```', '<', 'é\u0301'))
  const fragment = fc.oneof(
    { weight: 3, arbitrary: plain },
    { weight: 2, arbitrary: marker },
    { weight: 2, arbitrary: begun },
    { weight: 2, arbitrary: calls },
    { weight: 1, arbitrary: early },
    { weight: 2, arbitrary: spoilt },
  )
  return fc.array(fragment, { maxLength: 8 }).map((fragments) => fragments.join(''))
}

/** A text in pieces, cut anywhere. */
export function cutAnywhere(text: string, cuts: readonly number[]): string[] {
  const places = [...cuts.map((cut) => cut % (text.length + 1)), 0, text.length].sort((a, b) => a - b)
  return places.slice(1).map((place, i) => text.slice(places[i], place))
}

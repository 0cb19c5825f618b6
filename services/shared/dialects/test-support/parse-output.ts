import { createOutputParser, type OutputParserOptions } from '../output-parser.ts'
import type { Dialect } from '../dialect.ts'
import type { OutputPart } from '../output-part.ts'

/** All parts of an output that comes in these pieces; neighbours of the same kind are one. */
export function parseOutput(dialect: Dialect, pieces: readonly string[], options: OutputParserOptions): OutputPart[] {
  const parser = createOutputParser(dialect, options)
  return mergeParts([...pieces.flatMap((piece) => parser.push(piece)), ...parser.end()])
}

export function mergeParts(parts: readonly OutputPart[]): OutputPart[] {
  const merged: OutputPart[] = []
  for (const part of parts) {
    const last = merged.at(-1)
    if (part.kind !== 'tool_call' && last?.kind === part.kind) last.text += part.text
    else merged.push({ ...part })
  }
  return merged
}

export interface Call {
  name: string
  /** JSON text. */
  arguments: string
}

export function callsIn(parts: readonly OutputPart[]): Call[] {
  const calls: Call[] = []
  for (const part of parts) {
    if (part.kind === 'tool_call') calls.push({ name: part.name, arguments: '' })
    const call = calls.at(-1)
    if (part.kind === 'tool_arguments' && call !== undefined) call.arguments += part.text
  }
  return calls
}

export function textIn(parts: readonly OutputPart[], kind: 'text' | 'reasoning' = 'text'): string {
  return parts.map((part) => (part.kind === kind ? part.text : '')).join('')
}

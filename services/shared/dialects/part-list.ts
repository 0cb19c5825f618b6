import type { OutputPart } from './output-part.ts'

/** Collects the parts of an answer; neighbours of the same kind become one. */
export interface PartList {
  text(text: string): void
  reasoning(text: string): void
  /** Begins the next call. */
  call(name: string): void
  /** Of the call begun last. */
  toolArguments(text: string): void
  /** The call begun last is malformed, or ends before its end. */
  breakOff(): void
  /** That has happened. */
  readonly brokenOff: boolean
  /** What was collected since the last time. */
  take(): OutputPart[]
}

export function createPartList(): PartList {
  let parts: OutputPart[] = []
  let calls = 0
  let brokenOff = false
  return {
    get brokenOff() {
      return brokenOff
    },
    breakOff() {
      brokenOff = true
    },
    text(text) {
      const last = parts.at(-1)
      if (last?.kind === 'text') last.text += text
      else if (text !== '') parts.push({ kind: 'text', text })
    },
    reasoning(text) {
      const last = parts.at(-1)
      if (last?.kind === 'reasoning') last.text += text
      else if (text !== '') parts.push({ kind: 'reasoning', text })
    },
    call(name) {
      parts.push({ kind: 'tool_call', index: calls, name })
      calls++
    },
    toolArguments(text) {
      const index = calls - 1
      const last = parts.at(-1)
      if (last?.kind === 'tool_arguments') last.text += text
      else if (text !== '') parts.push({ kind: 'tool_arguments', index, text })
    },
    take() {
      const taken = parts
      parts = []
      return taken
    },
  }
}

import { randomBytes } from 'node:crypto'
import type { TokenLogprob } from '../../../../proto/gen/intramuros/v1/inference.ts'
import type { OutputPart } from '../../../shared/dialects/output-part.ts'
import { type ChatLogprob, chatLogprobs } from '../chat/logprobs.ts'

export type Status = 'in_progress' | 'completed' | 'incomplete'

/** What an answer's output is made of, while it grows. */
export type Item =
  | { type: 'reasoning'; id: string; text: string }
  | { type: 'message'; id: string; text: string; logprobs: (ChatLogprob & { top_logprobs: ChatLogprob[] })[] }
  | { type: 'function_call'; id: string; callId: string; name: string; arguments: string }

/** A part that may begin an item. */
type Beginning = Exclude<OutputPart, { kind: 'tool_arguments' }>

export function newItem(part: Beginning): Item {
  switch (part.kind) {
    case 'reasoning':
      return { type: 'reasoning', id: newId('rs'), text: '' }
    case 'text':
      return { type: 'message', id: newId('msg'), text: '', logprobs: [] }
    case 'tool_call':
      return { type: 'function_call', id: newId('fc'), callId: newId('call'), name: part.name, arguments: '' }
  }
}

/** Whether a part begins an item after this one, rather than going on with it. */
export function begins(part: OutputPart, item: Item | undefined): part is Beginning {
  switch (part.kind) {
    case 'reasoning':
      return item?.type !== 'reasoning'
    case 'text':
      return item?.type !== 'message'
    case 'tool_call':
      return true
    case 'tool_arguments':
      return false
  }
}

export function add(item: Item | undefined, part: OutputPart, logprobs: readonly TokenLogprob[]): void {
  if (item === undefined || part.kind === 'tool_call') return
  if (item.type === 'function_call') item.arguments += part.text
  else item.text += part.text
  if (item.type === 'message') for (const logprob of chatLogprobs(logprobs)) item.logprobs.push(logprob)
}

/** Of the log-probabilities that came with some parts, those that are told with the part at this place: all with the first text, which is the only thing that has them. */
export function toldWith(parts: readonly OutputPart[], index: number, logprobs: readonly TokenLogprob[]): readonly TokenLogprob[] {
  return logprobs.length > 0 && parts.findIndex(({ kind }) => kind === 'text') === index ? logprobs : []
}

/** As it stands in a response. A tool call is empty while it is in progress, as OpenAI sends it. */
export function itemObject(item: Item, status: Status): object {
  const isNew = status === 'in_progress'
  switch (item.type) {
    case 'reasoning':
      return { id: item.id, type: 'reasoning', summary: [], content: isNew ? [] : [contentPart(item)], status }
    case 'message':
      return { id: item.id, type: 'message', role: 'assistant', status, content: isNew ? [] : [contentPart(item)] }
    case 'function_call':
      return { id: item.id, type: 'function_call', call_id: item.callId, name: item.name, arguments: item.arguments, status }
  }
}

export function contentPart(item: Exclude<Item, { type: 'function_call' }>): object {
  if (item.type === 'reasoning') return { type: 'reasoning_text', text: item.text }
  return { type: 'output_text', text: item.text, annotations: [], logprobs: item.logprobs }
}

function newId(prefix: string): string {
  return `${prefix}_${randomBytes(16).toString('hex')}`
}

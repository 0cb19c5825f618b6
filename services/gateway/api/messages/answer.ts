import { randomBytes } from 'node:crypto'
import type { OutputPart } from '../../../shared/dialects/output-part.ts'
import type { Answer, ChoiceEnd, Generation, TokensUsed } from '../../generation.ts'
import type { Exchange } from '../../http/exchange.ts'

type Block =
  | { type: 'thinking'; thinking: string; signature: '' }
  | { type: 'text'; text: string; citations: null }
  | { type: 'tool_use'; id: string; name: string; caller: { type: 'direct' }; input: unknown }

/** Writes an answer of Anthropic's Messages API, https://docs.claude.com/en/api/messages, and …/messages-streaming. */
export function messagesAnswer(exchange: Exchange, { model, stream }: Generation, hidesThinking: boolean): Answer {
  const head = { id: `msg_${exchange.requestId.replaceAll('-', '')}`, type: 'message', role: 'assistant', model }
  const answer = stream ? streamedAnswer(exchange, head) : wholeAnswer(exchange, head)
  if (!hidesThinking) return answer
  return {
    ...answer,
    parts(choice, parts, logprobs) {
      const shown = parts.filter(({ kind }) => kind !== 'reasoning')
      return shown.length === 0 ? undefined : answer.parts(choice, shown, logprobs)
    },
  }
}

function message(head: object, content: readonly Block[], end: ChoiceEnd | undefined, used: TokensUsed): object {
  return { ...head, content, container: null, diagnostics: null, ...stopOf(end), usage: { ...usageOf(used), cache_creation: null, inference_geo: null, service_tier: 'standard', speed: null } }
}

function stopOf(end: ChoiceEnd | undefined): { stop_reason: string | null; stop_sequence: string | null; stop_details: null } {
  return { stop_reason: end === undefined ? null : stopReason(end), stop_sequence: end?.stopSequence ?? null, stop_details: null }
}

function stopReason({ finishReason, stopSequence }: ChoiceEnd): string {
  if (finishReason === 'length') return 'max_tokens'
  if (finishReason === 'tool_calls') return 'tool_use'
  return stopSequence === undefined ? 'end_turn' : 'stop_sequence'
}

function usageOf({ input, output, reasoning }: TokensUsed): object {
  return {
    input_tokens: input,
    output_tokens: output,
    output_tokens_details: reasoning === 0 ? null : { thinking_tokens: reasoning },
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    server_tool_use: null,
  }
}

function emptyBlock(part: OutputPart): Block | undefined {
  switch (part.kind) {
    case 'reasoning':
      return { type: 'thinking', thinking: '', signature: '' }
    case 'text':
      return { type: 'text', text: '', citations: null }
    case 'tool_call':
      return { type: 'tool_use', id: `toolu_${randomBytes(12).toString('hex')}`, name: part.name, caller: { type: 'direct' }, input: {} }
    case 'tool_arguments':
      return undefined
  }
}

/** The kind of block that a part goes on with. */
const blockTypes = { reasoning: 'thinking', text: 'text', tool_call: 'tool_use', tool_arguments: 'tool_use' } as const

function wholeAnswer(exchange: Exchange, head: object): Answer {
  const content: Block[] = []
  let json = ''
  let end: ChoiceEnd | undefined

  function closeCall(): void {
    const last = content.at(-1)
    if (last?.type === 'tool_use') last.input = parsed(json)
    json = ''
  }

  return {
    start: () => undefined,
    parts(_choice, parts) {
      for (const part of parts) {
        const last = content.at(-1)
        if (part.kind === 'tool_call' || last?.type !== blockTypes[part.kind]) {
          closeCall()
          const block = emptyBlock(part)
          if (block !== undefined) content.push(block)
        }
        const block = content.at(-1)
        if (part.kind === 'tool_arguments') json += part.text
        else if (part.kind === 'text' && block?.type === 'text') block.text += part.text
        else if (part.kind === 'reasoning' && block?.type === 'thinking') block.thinking += part.text
      }
      return undefined
    },
    endChoice(_choice, given) {
      closeCall()
      end = given
      return undefined
    },
    finish: (used) => exchange.json(200, JSON.stringify(message(head, content, end, used))),
  }
}

/** Arguments that the token limit cut are no JSON: as Anthropic, an empty object then. */
function parsed(json: string): unknown {
  try {
    return json === '' ? {} : JSON.parse(json)
  } catch {
    return {}
  }
}

function streamedAnswer(exchange: Exchange, head: object): Answer {
  let index = -1
  let open: Block | undefined
  let end: ChoiceEnd | undefined

  function closed(): string {
    if (open === undefined) return ''
    open = undefined
    return event('content_block_stop', { index })
  }

  function opened(part: OutputPart): string {
    const before = closed()
    open = emptyBlock(part)
    index += 1
    return open === undefined ? before : before + event('content_block_start', { index, content_block: open })
  }

  function delta(part: OutputPart): string {
    switch (part.kind) {
      case 'reasoning':
        return event('content_block_delta', { index, delta: { type: 'thinking_delta', thinking: part.text } })
      case 'text':
        return event('content_block_delta', { index, delta: { type: 'text_delta', text: part.text } })
      case 'tool_arguments':
        return event('content_block_delta', { index, delta: { type: 'input_json_delta', partial_json: part.text } })
      case 'tool_call':
        return ''
    }
  }

  return {
    start([prompt]) {
      exchange.startEvents()
      const used = { input: prompt?.tokens ?? 0, output: 0, reasoning: 0 }
      exchange.write(event('message_start', { message: message(head, [], undefined, used) }))?.catch(() => undefined) // whoever waits for the next write is told
    },
    parts(_choice, parts) {
      let events = ''
      for (const part of parts) {
        if (part.kind === 'tool_call' || open?.type !== blockTypes[part.kind]) events += opened(part)
        events += delta(part)
      }
      return exchange.write(events)
    },
    endChoice(_choice, given) {
      end = given
      const events = closed()
      return events === '' ? undefined : exchange.write(events)
    },
    finish(used) {
      const last = event('message_delta', { delta: { ...stopOf(end), container: null }, usage: usageOf(used) }) + event('message_stop', {})
      exchange.write(last)?.catch(() => undefined) // a client that left has its record already
      exchange.end()
    },
  }
}

function event(type: string, data: object): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`
}

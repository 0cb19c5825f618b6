import { randomBytes } from 'node:crypto'
import type { OutputPart } from '../../../shared/dialects/output-part.ts'
import type { Answer, ChoiceEnd, Generation, TokensUsed } from '../../generation.ts'
import type { Exchange } from '../../http/exchange.ts'

type Block =
  | { type: 'thinking'; thinking: string; signature: '' }
  | { type: 'text'; text: string; citations: null }
  | { type: 'tool_use'; id: string; name: string; caller: { type: 'direct' }; input: object }

/** Writes an answer of Anthropic's Messages API, https://docs.claude.com/en/api/messages, and …/messages-streaming. */
export function messagesAnswer(exchange: Exchange, generation: Generation, hidesThinking: boolean): Answer {
  // Anthropic's name of x-request-id, which its clients tell.
  exchange.header('request-id', exchange.requestId)
  const answer = generation.stream ? streamedAnswer(exchange, generation) : wholeAnswer(exchange, generation)
  if (!hidesThinking) return answer
  return {
    ...answer,
    parts(choice, parts, logprobs) {
      const shown = parts.filter(({ kind }) => kind !== 'reasoning')
      return shown.length === 0 ? undefined : answer.parts(choice, shown, logprobs)
    },
  }
}

/** A message without its content. */
function messageHead({ requestId }: Exchange, { model }: Generation, stop: Stop, used: TokensUsed): object {
  return {
    id: `msg_${requestId.replaceAll('-', '')}`,
    type: 'message',
    role: 'assistant',
    model,
    container: null,
    diagnostics: null,
    ...stop,
    usage: { ...usageOf(used), cache_creation: null, inference_geo: null, service_tier: 'standard', speed: null },
  }
}

interface Stop {
  stop_reason: string | null
  stop_sequence: string | null
  stop_details: null
}

const notStopped: Stop = { stop_reason: null, stop_sequence: null, stop_details: null }

function stopOf(end: ChoiceEnd | undefined, { maxTokens }: Generation, { output }: TokensUsed): Stop {
  return { stop_reason: end === undefined ? null : stopReason(end, output < maxTokens), stop_sequence: end?.stopSequence ?? null, stop_details: null }
}

/** What ends before the request's limit, and is cut all the same, has come to the end of the context. */
function stopReason({ finishReason, stopSequence }: ChoiceEnd, belowLimit: boolean): string {
  if (finishReason === 'length') return belowLimit ? 'model_context_window_exceeded' : 'max_tokens'
  if (finishReason === 'tool_calls') return 'tool_use'
  return stopSequence === undefined ? 'end_turn' : 'stop_sequence'
}

function usageOf({ input, output, reasoning }: TokensUsed): object {
  return {
    // All of them: to Anthropic's clients, only caching that a request asked for is counted apart.
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

function wholeAnswer(exchange: Exchange, generation: Generation): Answer {
  const content: { block: Block; text: string }[] = []
  let end: ChoiceEnd | undefined
  return {
    start: () => undefined,
    parts(_choice, parts) {
      for (const part of parts) {
        if (part.kind === 'tool_call' || content.at(-1)?.block.type !== blockTypes[part.kind]) {
          const block = emptyBlock(part)
          if (block !== undefined) content.push({ block, text: '' })
        }
        const last = content.at(-1)
        if (last !== undefined && part.kind !== 'tool_call') last.text += part.text
      }
      return undefined
    },
    endChoice(_choice, given) {
      end = given
      return undefined
    },
    finish(used) {
      const head = JSON.stringify(messageHead(exchange, generation, stopOf(end, generation, used), used))
      const blocks = content.map(({ block, text }) => blockJson(block, text))
      exchange.json(200, `${head.slice(0, -1)},"content":[${blocks.join(',')}]}`)
    },
  }
}

function blockJson(block: Block, text: string): string {
  switch (block.type) {
    case 'thinking':
      return JSON.stringify({ ...block, thinking: text })
    case 'text':
      return JSON.stringify({ ...block, text })
    case 'tool_use': {
      const { input: _, ...head } = block
      // As the model wrote it: numbers keep the digits that a number here could not hold.
      return `${JSON.stringify(head).slice(0, -1)},"input":${isJsonObject(text) ? text : '{}'}}`
    }
  }
}

/** Arguments that the token limit cut are no JSON: as Anthropic, an empty object then. */
function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}

function streamedAnswer(exchange: Exchange, generation: Generation): Answer {
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
      const used = { input: prompt?.tokens ?? 0, cached: 0, output: 0, reasoning: 0 }
      exchange.write(event('message_start', { message: { ...messageHead(exchange, generation, notStopped, used), content: [] } }))?.catch(() => undefined) // whoever waits for the next write is told
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
      const last = event('message_delta', { delta: { ...stopOf(end, generation, used), container: null }, usage: usageOf(used) }) + event('message_stop', {})
      exchange.write(last)?.catch(() => undefined) // a client that left has its record already
      exchange.end()
    },
  }
}

function event(type: string, data: object): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`
}

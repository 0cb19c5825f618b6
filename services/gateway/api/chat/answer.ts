import { randomBytes } from 'node:crypto'
import type { TokenLogprob } from '../../../../proto/gen/intramuros/v1/inference.ts'
import type { OutputPart } from '../../../shared/dialects/output-part.ts'
import type { Answer, ChoiceEnd, Generation } from '../../generation.ts'
import type { Exchange } from '../../http/exchange.ts'
import { usage } from '../usage.ts'
import { type ChatIdentity, chatChunks, streamEnd } from './chunks.ts'
import { chatLogprobs } from './logprobs.ts'

/** Writes a chat completion, https://platform.openai.com/docs/api-reference/chat/object. */
export function chatAnswer(exchange: Exchange, { model, stream, choices }: Generation, includeUsage: boolean): Answer {
  const identity = { id: `chatcmpl-${exchange.requestId.replaceAll('-', '')}`, model, created: Math.floor(Date.now() / 1000) }
  return stream ? streamedAnswer(exchange, identity, choices, includeUsage) : wholeAnswer(exchange, identity, choices)
}

function streamedAnswer(exchange: Exchange, identity: ChatIdentity, choices: number, includeUsage: boolean): Answer {
  const chunks = chatChunks(identity, includeUsage, newCallId)
  // The first chunk of a choice leaves together with its first text.
  const begun = Array.from({ length: choices }, () => false)

  function opening(choice: number): string {
    if (begun[choice] === true) return ''
    begun[choice] = true
    return chunks.first(choice)
  }

  return {
    start: () => exchange.startEvents(),
    parts(choice, parts, logprobs) {
      let events = opening(choice)
      for (const [index, part] of parts.entries()) events += chunks.part(choice, part, index === 0 ? logprobs : [])
      if (parts.length === 0) events += chunks.logprobs(choice, logprobs)
      return exchange.write(events)
    },
    endChoice: (choice, { finishReason }) => exchange.write(opening(choice) + chunks.end(choice, finishReason)),
    finish(used) {
      exchange.write((includeUsage ? chunks.usage(usage(used)) : '') + streamEnd)?.catch(() => undefined) // a client that left has its record already
      exchange.end()
    },
  }
}

interface Choice {
  text: string[]
  reasoning: string[]
  calls: { id: string; name: string; arguments: string[] }[]
  logprobs: TokenLogprob[]
  end: ChoiceEnd['finishReason']
}

function wholeAnswer(exchange: Exchange, { id, model, created }: ChatIdentity, count: number): Answer {
  const choices = Array.from({ length: count }, (): Choice => ({ text: [], reasoning: [], calls: [], logprobs: [], end: 'stop' }))
  let wantsLogprobs = false
  return {
    start: () => undefined,
    parts(index, parts, logprobs) {
      const choice = choices[index]
      if (choice === undefined) return undefined
      for (const part of parts) add(choice, part)
      for (const logprob of logprobs) choice.logprobs.push(logprob)
      wantsLogprobs ||= logprobs.length > 0
      return undefined
    },
    endChoice(index, { finishReason }) {
      const choice = choices[index]
      if (choice !== undefined) choice.end = finishReason
      return undefined
    },
    finish(used) {
      exchange.json(
        200,
        JSON.stringify({
          id,
          object: 'chat.completion',
          created,
          model,
          choices: choices.map((choice, index) => ({
            index,
            message: messageOf(choice),
            logprobs: wantsLogprobs ? { content: chatLogprobs(choice.logprobs), refusal: null } : null,
            finish_reason: choice.end,
          })),
          usage: usage(used),
        }),
      )
    },
  }
}

function add(choice: Choice, part: OutputPart): void {
  switch (part.kind) {
    case 'text':
      choice.text.push(part.text)
      break
    case 'reasoning':
      choice.reasoning.push(part.text)
      break
    case 'tool_call':
      choice.calls.push({ id: newCallId(), name: part.name, arguments: [] })
      break
    case 'tool_arguments':
      choice.calls.at(-1)?.arguments.push(part.text)
  }
}

function messageOf({ text, reasoning, calls }: Choice) {
  const content = text.join('')
  return {
    role: 'assistant',
    content: content === '' && calls.length > 0 ? null : content,
    refusal: null,
    ...(reasoning.length === 0 ? {} : { reasoning_content: reasoning.join('') }),
    ...(calls.length === 0
      ? {}
      : { tool_calls: calls.map((call) => ({ id: call.id, type: 'function', function: { name: call.name, arguments: call.arguments.join('') } })) }),
  }
}

function newCallId(): string {
  return `call_${randomBytes(12).toString('hex')}`
}

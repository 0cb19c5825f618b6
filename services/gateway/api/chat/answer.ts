import type { Exchange } from '../http/exchange.ts'
import { type ChatFinishReason, type ChatIdentity, chatChunks, chatCompletion, streamEnd, type Usage } from './chat-response.ts'

/** How an answer reaches the client: streamed, or whole at its end. */
export interface Answer {
  /** Called once, when the answer may begin. */
  start(): void
  delta(text: string): Promise<void> | undefined
  finish(reason: ChatFinishReason, used: Usage): void
}

export function streamedAnswer(exchange: Exchange, identity: ChatIdentity, includeUsage: boolean): Answer {
  const chunks = chatChunks(identity, includeUsage)
  let unsent = ''
  return {
    start() {
      exchange.startEvents()
      unsent = chunks.first() // leaves together with the first text
    },
    delta(text) {
      const events = unsent + chunks.delta(text)
      unsent = ''
      return exchange.write(events)
    },
    finish(reason, used) {
      const last = unsent + chunks.finish(reason) + (includeUsage ? chunks.usage(used) : '') + streamEnd
      exchange.write(last)?.catch(() => undefined) // a client that left has its record already
      exchange.end()
    },
  }
}

export function wholeAnswer(exchange: Exchange, identity: ChatIdentity): Answer {
  const pieces: string[] = []
  return {
    start: () => undefined,
    delta(text) {
      pieces.push(text)
      return undefined
    },
    finish(reason, used) {
      exchange.json(200, chatCompletion(identity, pieces.join(''), reason, used))
    },
  }
}

import type { IncomingMessage } from 'node:http'
import { openAiErrors } from '../api/errors.ts'
import type { Exchange } from '../http/exchange.ts'

/** An exchange that keeps what is written, for tests of answers. */
export interface RecordingExchange extends Exchange {
  /** The body of a whole answer, parsed. */
  whole(): unknown
  /** Data of the server-sent events so far, parsed; "[DONE]" as it is. */
  events(): unknown[]
  ended: boolean
}

export function recordingExchange(): RecordingExchange {
  let text = ''
  let body: unknown
  const exchange: RecordingExchange = {
    requestId: '11111111-2222-3333-4444-555555555555',
    request: {} as IncomingMessage,
    signal: new AbortController().signal,
    errors: openAiErrors,
    ended: false,
    copy: undefined,
    hold(run) {
      run()
      return { release: () => undefined }
    },
    header: () => undefined,
    json(_status, json) {
      body = JSON.parse(json)
    },
    text: () => undefined,
    startEvents: () => undefined,
    write(more) {
      text += more
      return undefined
    },
    end: () => void (exchange.ended = true),
    fail(error) {
      text += exchange.errors.event(error, exchange.requestId)
    },
    whole: () => body,
    events: () =>
      text
        .split('\n\n')
        .slice(0, -1)
        .map((event) => event.replace(/^(event: .*\n)?data: /, ''))
        .map((data): unknown => (data === '[DONE]' ? data : JSON.parse(data))),
  }
  return exchange
}

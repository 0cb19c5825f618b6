import { problemsOf, type WireType } from './validator.ts'
import { asDescribed } from './documented-extras.ts'

/** A fetch that holds every answer against the API's published types, and keeps what it found. */
export interface CheckedFetch {
  fetch: typeof fetch
  /** Throws if anything was wrong since the last call. */
  verify(): void
  /** Places in the bodies that were sent to this path and answered, such as "messages[].content". */
  placesSent(path: string): ReadonlySet<string>
}

interface Wire {
  body: WireType
  event?: WireType
  /** The text of the event that ends a stream, after which nothing comes. */
  end?: string
  /** Events carry their type as the name of the server-sent event too. */
  named?: boolean
  error: 'openai' | 'anthropic'
}

const wires: readonly [RegExp, Wire][] = [
  [/^\/v1\/chat\/completions$/, { body: 'ChatCompletion', event: 'ChatCompletionChunk', end: '[DONE]', error: 'openai' }],
  [/^\/v1\/completions$/, { body: 'Completion', event: 'Completion', end: '[DONE]', error: 'openai' }],
  [/^\/v1\/responses$/, { body: 'Response', event: 'ResponseStreamEvent', named: true, error: 'openai' }],
  [/^\/v1\/embeddings$/, { body: 'CreateEmbeddingResponse', error: 'openai' }],
  [/^\/v1\/models\/.+$/, { body: 'Model', error: 'openai' }],
  [/^\/v1\/messages$/, { body: 'Message', event: 'RawMessageStreamEvent', named: true, error: 'anthropic' }],
  [/^\/v1\/messages\/count_tokens$/, { body: 'MessageTokensCount', error: 'anthropic' }],
]

const mostTold = 20

export function checkedFetch(): CheckedFetch {
  let found: string[] = []
  const sent = new Map<string, Set<string>>()

  function check(type: WireType, value: unknown, streamed = false): void {
    found.push(...problemsOf(type, asDescribed(type, value, streamed)))
  }

  return {
    async fetch(input, init) {
      const response = await fetch(input, init)
      const path = new URL(typeof input === 'string' ? input : input instanceof URL ? input : input.url).pathname
      if (response.ok && typeof init?.body === 'string') {
        const places = sent.get(path) ?? new Set()
        sent.set(path, places)
        collectPlaces(JSON.parse(init.body), '', places)
      }
      const wire = wires.find(([pattern]) => pattern.test(path))?.[1]
      if (!response.headers.has('x-request-id')) found.push(`${path}: no x-request-id`)
      if (wire === undefined || response.body === null) return response
      const kind = response.headers.get('content-type') ?? ''
      const observer = kind.startsWith('text/event-stream') && wire.event !== undefined && response.ok ? eventsObserver(wire, wire.event) : bodyObserver(wire, response, kind)
      return new Response(response.body.pipeThrough(observer), { status: response.status, statusText: response.statusText, headers: response.headers })
    },
    verify() {
      const told = [...new Set(found)].slice(0, mostTold)
      found = []
      if (told.length > 0) throw new Error(`not as the API's types say:\n${told.join('\n')}`)
    },
    placesSent: (path) => sent.get(path) ?? new Set(),
  }

  function bodyObserver(wire: Wire, response: Response, kind: string): TransformStream<Uint8Array, Uint8Array> {
    if (kind !== 'application/json') found.push(`the body of a ${response.status} is of the type ${kind}`)
    return observer((text) => {
      const value: unknown = JSON.parse(text)
      if (response.ok) check(wire.body, value)
      else if (wire.error === 'anthropic') check('ErrorResponse', value)
      else found.push(...openAiErrorProblems(value))
    })
  }

  function eventsObserver(wire: Wire, type: WireType): TransformStream<Uint8Array, Uint8Array> {
    return observer((text) => {
      if (!text.endsWith('\n\n')) found.push('the stream ends in the middle of an event')
      const events = text.split('\n\n').filter((event) => event !== '').map(parseEvent)
      if (wire.end !== undefined && events.pop()?.data !== wire.end) found.push(`the stream does not end with ${wire.end}`)
      for (const { name, data } of events) {
        const value = JSON.parse(data) as { type?: unknown }
        if (wire.named === true && name !== value.type) found.push(`an event of the type ${String(value.type)} is named ${name ?? 'nothing'}`)
        // Anthropic's pings are in no type of its client.
        if (type === 'RawMessageStreamEvent' && value.type === 'ping') continue
        check(type, value, true)
      }
      if (type === 'ResponseStreamEvent') found.push(...sequenceProblems(events))
    })
  }
}

function collectPlaces(value: unknown, place: string, places: Set<string>): void {
  if (Array.isArray(value)) {
    for (const item of value) collectPlaces(item, `${place}[]`, places)
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, inner] of Object.entries(value)) {
      const its = place === '' ? name : `${place}.${name}`
      places.add(its)
      collectPlaces(inner, its, places)
    }
  }
}

/** Passes on what comes; a body that ended is handed over as a whole. One that the client cancelled isn't. */
function observer(atEnd: (text: string) => void): TransformStream<Uint8Array, Uint8Array> {
  const chunks: Uint8Array[] = []
  return new TransformStream({
    transform(chunk, controller) {
      chunks.push(chunk)
      controller.enqueue(chunk)
    },
    flush: () => atEnd(Buffer.concat(chunks).toString()),
  })
}

function parseEvent(event: string): { name: string | undefined; data: string } {
  const fields = event.split('\n').map((line) => line.split(/: ?(.*)/s, 2))
  const valuesOf = (field: string): string[] => fields.filter(([name]) => name === field).map(([, value = '']) => value)
  return { name: valuesOf('event')[0], data: valuesOf('data').join('\n') }
}

function sequenceProblems(events: readonly { data: string }[]): string[] {
  const numbers = events.map(({ data }) => (JSON.parse(data) as { sequence_number?: unknown }).sequence_number)
  return numbers.every((number, index) => number === index) ? [] : [`sequence numbers are ${numbers.join(', ')}`]
}

/** OpenAI's error object is in no type of its client. */
function openAiErrorProblems(value: unknown): string[] {
  const { error, ...rest } = value as { error?: Record<string, unknown> }
  const isText = (field: unknown): boolean => typeof field === 'string'
  const right =
    Object.keys(rest).length === 0 &&
    error !== undefined &&
    Object.keys(error).toSorted().join() === 'code,message,param,type' &&
    isText(error['message']) &&
    isText(error['type']) &&
    [error['param'], error['code']].every((field) => field === null || isText(field))
  return right ? [] : ['the error has not the shape of an error object']
}

import { Client, type ClientDuplexStream, type StatusObject } from '@grpc/grpc-js'
import type { LaneFrame, LaneItem } from '../../../proto/gen/intramuros/v1/lane.ts'
import { abortReason, asServiceError, codeName, ServiceError } from '../errors.ts'
import type { Logger } from '../log.ts'
import { channelCredentials, channelOptions } from '../tls/grpc-credentials.ts'
import type { Identity } from '../tls/identity.ts'
import { createFrameWriter, type FrameWriter } from './frame-writer.ts'
import { methodLabel, methodName, type Service, type StreamDefinition, type UnaryDefinition } from './methods.ts'
import type { CallObserver, ObservedCall } from './observe.ts'
import { channelLimits, errorFromWire } from './wire.ts'

/** Messages of one streamed response that may be on their way unread. Half of them are granted anew as they are read. */
const streamCredit = 64
const firstRetryMs = 50
const longestRetryMs = 250
/** What a caller of a lost peer is told to wait: a service that died is back in a second or two. */
const lostRetryMs = 2000

export interface LaneOptions {
  service: Service
  /** Service name in the peer's certificate, for example "tokenizer". */
  peer: string
  /** "host:port" */
  address: string
  identity: Identity
  observer: CallObserver
  log: Logger
  /** Called whenever the lane comes up or goes down. */
  onStateChange?: (up: boolean) => void
}

export interface CallOptions {
  requestId: string
  signal: AbortSignal
  /** Milliseconds; the other side learns what is left of it. */
  timeoutMs?: number
  traceparent?: string
}

export interface LaneClient extends Peer {
  readonly address: string
}

/** A service that can be called, over one lane or several. */
export interface Peer {
  /** Whether calls can be made now. While none can they fail at once with UNAVAILABLE; lanes reconnect by themselves. */
  readonly up: boolean
  unary<Request, Response>(method: UnaryDefinition<Request, Response>, request: Request, options: CallOptions): Promise<Response>
  stream<Request, Response>(method: StreamDefinition<Request, Response>, request: Request, options: CallOptions): AsyncGenerator<Response, void, undefined>
  close(): void
}

interface OpenCall {
  message(bytes: Buffer): void
  end(error: ServiceError | undefined, response: Buffer): void
}

/** One lane to one peer: keeps it up, and carries calls over it. */
export function connectLane(options: LaneOptions): LaneClient {
  const client = new Client(options.address, channelCredentials(options.identity), {
    ...channelLimits,
    ...channelOptions(options.peer),
    'grpc.initial_reconnect_backoff_ms': firstRetryMs,
    'grpc.max_reconnect_backoff_ms': longestRetryMs,
    // Two lanes to one address must not share a connection's fate or certificate.
    'grpc.use_local_subchannel_pool': 1,
  })
  const calls = new Map<number, OpenCall>()
  let stream: ClientDuplexStream<LaneFrame, LaneFrame> | undefined
  let writer: FrameWriter | undefined
  let up = false
  let closed = false
  let retryMs = firstRetryMs
  let retry: NodeJS.Timeout | undefined
  let nextId = 1

  function open(): void {
    const { path, requestSerialize, responseDeserialize } = options.service.lane
    const opened = client.makeBidiStreamRequest<LaneFrame, LaneFrame>(path, requestSerialize, responseDeserialize)
    stream = opened
    opened.on('metadata', () => {
      if (stream !== opened) return
      writer = createFrameWriter(opened)
      retryMs = firstRetryMs
      setUp(true)
    })
    opened.on('data', (frame: LaneFrame) => frame.items.forEach(accept))
    opened.on('error', () => undefined) // told again by 'status'
    opened.on('status', (status: StatusObject) => {
      if (stream === opened) lost(status)
    })
  }

  function lost(status: StatusObject): void {
    stream = undefined
    writer?.close()
    writer = undefined
    const code = codeName(status.code)
    if (up && !closed) options.log.warn({ peer: options.peer, address: options.address, code }, 'lane lost')
    if (!up && !closed && code !== 'UNAVAILABLE') options.log.warn({ peer: options.peer, address: options.address, code }, 'lane refused')
    setUp(false)
    const reason = new ServiceError('UNAVAILABLE', 'peer_lost', `A part of the platform was lost in the middle of its work (${options.peer}). Try again.`, { retryAfterMs: lostRetryMs })
    const open = [...calls.values()]
    calls.clear()
    for (const call of open) call.end(reason, Buffer.alloc(0))
    if (!closed) {
      retry = setTimeout(openAgain, retryMs * (0.75 + Math.random() / 2))
      retryMs = Math.min(retryMs * 2, longestRetryMs)
    }
  }

  function openAgain(): void {
    if (!closed) open()
  }

  function setUp(now: boolean): void {
    if (up === now) return
    up = now
    if (now) options.log.info({ peer: options.peer, address: options.address }, 'lane up')
    options.onStateChange?.(now)
  }

  function accept(item: LaneItem): void {
    const call = calls.get(item.call)
    if (call === undefined) return // cancelled here while it was on its way
    if (item.body?.$case === 'message') call.message(item.body.value)
    else if (item.body?.$case === 'end') {
      calls.delete(item.call)
      const { error, response } = item.body.value
      call.end(error === undefined ? undefined : errorFromWire(error), response)
    }
  }

  /** Sends the opening item; the returned functions stop and feed the call. */
  function begin(path: string, request: Buffer, call: OpenCall, callOptions: CallOptions, observed: ObservedCall, credit: number) {
    if (callOptions.signal.aborted) throw abortReason(callOptions.signal)
    if (writer === undefined) throw peerUnreachable(options.peer)
    while (calls.has(nextId)) nextId = nextCallId(nextId)
    const id = nextId
    nextId = nextCallId(nextId)
    const { requestId, signal } = callOptions
    // On the wire it is a whole number: one that is not would cost the lane, and all calls on it.
    const timeoutMs = Math.ceil(callOptions.timeoutMs ?? 0)
    calls.set(id, call)
    const traceparent = observed.span.traceparent === '' ? (callOptions.traceparent ?? '') : observed.span.traceparent
    writer.push(
      { call: id, body: { $case: 'open', value: { method: methodName(path), request, timeoutMs, requestId, traceparent, credit } } },
      request.length + 128,
    )

    // The reason is made only when it is needed: an error's stack costs more than a call.
    function stop(reason: () => ServiceError): void {
      if (!calls.delete(id)) return
      writer?.push({ call: id, body: { $case: 'cancel', value: {} } }, 8)
      call.end(reason(), Buffer.alloc(0))
    }
    const onAbort = (): void => stop(() => abortReason(signal))
    signal.addEventListener('abort', onAbort, { once: true })
    const deadline =
      timeoutMs === 0 ? undefined : setTimeout(() => stop(() => new ServiceError('DEADLINE_EXCEEDED', 'deadline_exceeded', `${options.peer} did not answer in time.`)), timeoutMs)
    return {
      stop,
      grant: (more: number) => writer?.push({ call: id, body: { $case: 'credit', value: more } }, 8),
      release(): void {
        signal.removeEventListener('abort', onAbort)
        clearTimeout(deadline)
      },
    }
  }

  async function unary<Request, Response>(method: UnaryDefinition<Request, Response>, request: Request, callOptions: CallOptions): Promise<Response> {
    const observed = options.observer.start(methodLabel(method.path), callOptions.traceparent ?? '')
    let release: (() => void) | undefined
    try {
      const bytes = await new Promise<Buffer>((resolve, reject) => {
        const call: OpenCall = {
          message: () => undefined,
          end: (error, response) => (error === undefined ? resolve(response) : reject(error)),
        }
        ;({ release } = begin(method.path, method.requestSerialize(request), call, callOptions, observed, 0))
      })
      const response = method.responseDeserialize(bytes)
      observed.end('OK')
      return response
    } catch (thrown) {
      const failure = asServiceError(thrown)
      observed.end(failure.code)
      throw failure
    } finally {
      release?.()
    }
  }

  async function* stream_<Request, Response>(
    method: StreamDefinition<Request, Response>,
    request: Request,
    callOptions: CallOptions,
  ): AsyncGenerator<Response, void, undefined> {
    const observed = options.observer.start(methodLabel(method.path), callOptions.traceparent ?? '')
    let arrived: Buffer[] = []
    let over: { error: ServiceError | undefined } | undefined
    let wake: (() => void) | undefined
    const call: OpenCall = {
      message(bytes) {
        arrived.push(bytes)
        wake?.()
      },
      end(error) {
        over = { error }
        wake?.()
      },
    }
    let begun: ReturnType<typeof begin> | undefined
    let code: ReturnType<typeof codeName> | 'OK' = 'CANCELLED'
    let read = 0
    try {
      begun = begin(method.path, method.requestSerialize(request), call, callOptions, observed, streamCredit)
      for (;;) {
        if (arrived.length === 0) {
          if (over !== undefined) break
          await new Promise<void>((resolve) => (wake = resolve))
          wake = undefined
          continue
        }
        const batch = arrived
        arrived = []
        for (const bytes of batch) {
          yield method.responseDeserialize(bytes)
          read += 1
          if (read >= streamCredit / 2 && over === undefined) {
            begun.grant(read)
            read = 0
          }
        }
      }
      if (over.error !== undefined) throw over.error
      code = 'OK'
    } catch (thrown) {
      const failure = asServiceError(thrown)
      code = failure.code
      throw failure
    } finally {
      observed.end(code)
      begun?.stop(() => new ServiceError('CANCELLED', 'cancelled', 'The caller stopped reading.'))
      begun?.release()
    }
  }

  open()
  return {
    address: options.address,
    get up() {
      return up
    },
    unary,
    stream: stream_,
    close() {
      closed = true
      clearTimeout(retry)
      stream?.cancel()
      client.close()
    },
  }
}

function nextCallId(id: number): number {
  return id >= 0xffff_fffe ? 1 : id + 1
}

export function peerUnreachable(peer: string): ServiceError {
  return new ServiceError('UNAVAILABLE', 'peer_unreachable', `A part of the platform can't be reached at the moment (${peer}). Try again.`)
}

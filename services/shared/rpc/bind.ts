import { abortReason, asServiceError, type ErrorCode, ServiceError } from '../errors.ts'
import { describeError, type Logger } from '../log.ts'
import type { CallContext, StreamHandler, UnaryHandler } from './handler.ts'
import { type HandlersOf, methodLabel, methodName, type Service, type StreamDefinition, type UnaryDefinition } from './methods.ts'
import type { CallObserver } from './observe.ts'

export interface Arrival {
  requestId: string
  peer: string
  traceparent: string
  /** Milliseconds left to the caller's deadline; 0 for none. */
  timeoutMs: number
  /** Ends the call: the caller cancelled or went away. */
  abort: AbortController
}

/** A handler with everything around it that is the same for every method, over bytes, ready for either carriage. */
export type BoundMethod =
  | { streamed: false; run(request: Buffer, arrival: Arrival): Promise<Uint8Array> }
  | { streamed: true; run(request: Buffer, arrival: Arrival): AsyncGenerator<Uint8Array, void, undefined> }

export interface BindOptions {
  /** Services that may call, by name. Anyone else gets PERMISSION_DENIED. */
  callers: readonly string[]
  observer: CallObserver
  log: Logger
  /** After so many milliseconds a caller that reads nothing is given up; default: two minutes. */
  stalledReaderMs?: number
}

/** Wraps each handler of a service: who may call, deadline, metrics, span, and errors made fit to leave the process. */
export function bindMethods<S extends Service>(service: S, handlers: HandlersOf<S>, options: BindOptions): Map<string, BoundMethod> {
  const bound = new Map<string, BoundMethod>()
  for (const [name, handler] of Object.entries(handlers)) {
    const definition: unknown = service[name]
    if (!isDefinition(definition)) continue
    const method = definition.responseStream
      ? bindStream(definition, handler as StreamHandler<unknown, unknown>, options)
      : bindUnary(definition, handler as UnaryHandler<unknown, unknown>, options)
    bound.set(methodName(definition.path), method)
  }
  return bound
}

function isDefinition(definition: unknown): definition is UnaryDefinition<unknown, unknown> | StreamDefinition<unknown, unknown> {
  return typeof definition === 'object' && definition !== null && 'responseStream' in definition
}

function bindUnary(definition: UnaryDefinition<unknown, unknown>, handler: UnaryHandler<unknown, unknown>, options: BindOptions): BoundMethod {
  const label = methodLabel(definition.path)
  return {
    streamed: false,
    async run(request, arrival) {
      const call = open(label, arrival, options)
      try {
        call.admit()
        const response = await handler(decode(definition, request), call.context)
        const bytes = definition.responseSerialize(response)
        call.close('OK')
        return bytes
      } catch (thrown) {
        throw call.fail(thrown)
      }
    },
  }
}

function bindStream(definition: StreamDefinition<unknown, unknown>, handler: StreamHandler<unknown, unknown>, options: BindOptions): BoundMethod {
  const label = methodLabel(definition.path)
  return {
    streamed: true,
    async *run(request, arrival) {
      const call = open(label, arrival, options)
      let code: ErrorCode | 'OK' = 'CANCELLED' // what it is when the carriage stops reading
      try {
        call.admit()
        for await (const message of handler(decode(definition, request), call.context)) {
          yield definition.responseSerialize(message)
        }
        if (arrival.abort.signal.aborted) call.admit()
        code = 'OK'
      } catch (thrown) {
        const failure = call.fail(thrown)
        code = failure.code
        throw failure
      } finally {
        call.close(code)
      }
    },
  }
}

function open(label: string, arrival: Arrival, options: BindOptions) {
  const observed = options.observer.start(label, arrival.traceparent)
  const { signal } = arrival.abort
  const deadline =
    arrival.timeoutMs === 0
      ? undefined
      : setTimeout(() => arrival.abort.abort(new ServiceError('DEADLINE_EXCEEDED', 'deadline_exceeded', 'The call took too long.')), arrival.timeoutMs)
  let closed = false
  const context: CallContext = { requestId: arrival.requestId, peer: arrival.peer, signal }

  function close(code: ErrorCode | 'OK'): void {
    if (closed) return
    closed = true
    clearTimeout(deadline)
    observed.end(code)
  }

  return {
    context,
    close,
    /** Throws when the caller may not call, or has already gone. */
    admit() {
      if (!options.callers.includes(arrival.peer)) {
        throw new ServiceError('PERMISSION_DENIED', 'caller_not_allowed', 'This service does not answer to the certificate of this caller.')
      }
      if (signal.aborted) throw abortReason(signal)
    },
    /** The error as the caller may see it; what it really was goes to the log. */
    fail(thrown: unknown): ServiceError {
      const failure = signal.aborted && !(thrown instanceof ServiceError) ? abortReason(signal) : asServiceError(thrown)
      if (failure.code === 'INTERNAL') options.log.error({ requestId: arrival.requestId, method: label, err: describeError(thrown) }, 'handler failed')
      close(failure.code)
      return failure
    },
  }
}

function decode<Request>(definition: { requestDeserialize(bytes: Buffer): Request }, bytes: Buffer): Request {
  try {
    return definition.requestDeserialize(bytes)
  } catch (cause) {
    throw new ServiceError('INVALID_ARGUMENT', 'malformed_message', 'The request is not a valid protobuf message of its type.', { cause })
  }
}

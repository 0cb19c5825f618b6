import type { ServerDuplexStream } from '@grpc/grpc-js'
import type { LaneFrame, LaneItem, LaneOpen } from '../../../proto/gen/intramuros/v1/lane.ts'
import { asServiceError, callerGone, codes, ServiceError } from '../errors.ts'
import type { BoundMethod } from './bind.ts'
import { createFrameWriter } from './frame-writer.ts'
import { readerStalled } from './wire.ts'

/** Most calls open on one lane at a time; further ones are refused RESOURCE_EXHAUSTED. */
const maxOpenCalls = 16_384

interface OpenCall {
  abort: AbortController
  /** Messages that may still be sent. */
  credit: number
  /** Wakes the call when it may send again or is aborted. */
  wake: (() => void) | undefined
}

/** Runs the calls that arrive over one lane until the stream ends; then all of them are aborted. */
export function serveLane(stream: ServerDuplexStream<LaneFrame, LaneFrame>, methods: Map<string, BoundMethod>, peer: string, stalledReaderMs: number): void {
  const writer = createFrameWriter(stream)
  const calls = new Map<number, OpenCall>()

  function end(id: number, body: { error: ServiceError } | { response: Uint8Array }): void {
    if (!calls.delete(id)) return
    const empty = Buffer.alloc(0)
    const value =
      'error' in body
        ? {
            error: {
              code: codes[body.error.code],
              reason: body.error.reason,
              message: body.error.message,
              param: body.error.param ?? '',
              retryAfterMs: body.error.retryAfterMs ?? 0,
            },
            response: empty,
          }
        : { error: undefined, response: asBuffer(body.response) }
    writer.push({ call: id, body: { $case: 'end', value } }, value.response.length + 64)
  }

  async function start(id: number, open: LaneOpen): Promise<void> {
    const call: OpenCall = { abort: new AbortController(), credit: open.credit, wake: undefined }
    calls.set(id, call)
    try {
      const method = methods.get(open.method)
      if (method === undefined) throw new ServiceError('UNIMPLEMENTED', 'no_such_method', 'This service has no such method.')
      if (calls.size > maxOpenCalls) throw new ServiceError('RESOURCE_EXHAUSTED', 'too_many_calls', 'Too many calls are open on this lane.')
      const arrival = { requestId: open.requestId, peer, traceparent: open.traceparent, timeoutMs: open.timeoutMs, abort: call.abort }
      if (!method.streamed) {
        end(id, { response: await method.run(open.request, arrival) })
        return
      }
      for await (const message of method.run(open.request, arrival)) {
        while ((call.credit === 0 || writer.congested) && !call.abort.signal.aborted) {
          await taken(call)
        }
        if (call.abort.signal.aborted) break
        call.credit -= 1
        writer.push({ call: id, body: { $case: 'message', value: asBuffer(message) } }, message.length)
      }
      if (call.abort.signal.aborted) throw call.abort.signal.reason
      end(id, { response: Buffer.alloc(0) })
    } catch (thrown) {
      end(id, { error: asServiceError(thrown) })
    }
  }

  /** Waits until the caller takes more, or is given up. */
  function taken(call: OpenCall): Promise<void> {
    return new Promise((resolve) => {
      const stalled = setTimeout(() => stop(call, readerStalled()), stalledReaderMs)
      const wake = (): void => {
        clearTimeout(stalled)
        resolve()
      }
      call.wake = wake
      if (call.credit > 0) void writer.drained().then(wake)
    })
  }

  function stop(call: OpenCall, reason: ServiceError): void {
    call.abort.abort(reason)
    call.wake?.()
  }

  function accept(item: LaneItem): void {
    const call = calls.get(item.call)
    switch (item.body?.$case) {
      case 'open':
        if (call !== undefined) stop(call, new ServiceError('INTERNAL', 'call_id_reused', 'The id of an open call was used again.'))
        else void start(item.call, item.body.value)
        break
      case 'credit':
        if (call === undefined) break
        call.credit += item.body.value
        call.wake?.()
        break
      case 'cancel':
        if (call !== undefined) stop(call, callerGone())
        break
      default: // what only servers send, or nothing at all
    }
  }

  function closeAll(): void {
    writer.close()
    for (const call of calls.values()) stop(call, callerGone())
    calls.clear()
  }

  stream.on('data', (frame: LaneFrame) => frame.items.forEach(accept))
  stream.on('cancelled', closeAll)
  stream.on('error', closeAll)
  stream.on('end', () => {
    closeAll()
    stream.end()
  })
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

import { Counter, Histogram, type Registry } from 'prom-client'
import type { ErrorCode } from '../errors.ts'
import type { Span, Telemetry } from '../telemetry.ts'

/** Watches calls: one counter, one histogram and one span each. The same for servers and clients, ordinary methods and lanes. */
export interface CallObserver {
  /** `method` is "Tokenizer/Prepare"; `traceparent` the caller's, empty when the request is not traced. */
  start(method: string, traceparent: string): ObservedCall
}

export interface ObservedCall {
  span: Span
  end(code: ErrorCode | 'OK'): void
}

export function createCallObserver(side: 'server' | 'client', registry: Registry, telemetry: Telemetry): CallObserver {
  const calls = new Counter({
    name: `intramuros_rpc_${side}_calls_total`,
    help: `gRPC calls this process ${side === 'server' ? 'served' : 'made'}, by method and status code.`,
    labelNames: ['method', 'code'],
    registers: [registry],
  })
  const seconds = new Histogram({
    name: `intramuros_rpc_${side}_seconds`,
    help: 'Duration of gRPC calls, streams to their end.',
    labelNames: ['method'],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5, 30, 120],
    registers: [registry],
  })
  return {
    start(method, traceparent) {
      const started = performance.now()
      const span = telemetry.startSpan(method, side, traceparent)
      return {
        span,
        end(code) {
          calls.inc({ method, code })
          seconds.observe({ method }, (performance.now() - started) / 1000)
          if (span.recording) span.set({ 'rpc.system.name': 'grpc', 'rpc.method': method, 'rpc.response.status_code': code })
          span.end(code === 'OK' || code === 'CANCELLED' ? undefined : code)
        },
      }
    },
  }
}

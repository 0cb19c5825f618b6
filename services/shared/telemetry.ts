import { type Attributes, ROOT_CONTEXT, type SpanContext, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'

/**
 * OpenTelemetry traces, exported only when an endpoint is configured: without one the SDK is never loaded and every call here
 * is a constant. Attributes follow the GenAI semantic conventions and hold nothing of a prompt or an answer.
 */
export interface Telemetry {
  /** `parent` is a W3C traceparent; an empty or malformed one starts a new trace (client and server sides of a call: none at all). */
  startSpan(name: string, kind: 'server' | 'client' | 'root', parent: string): Span
  /** Exports what is left, within two seconds. */
  shutdown(): Promise<void>
}

export interface Span {
  /** False when nobody will see what is set. */
  readonly recording: boolean
  /** W3C Trace Context of this span, to hand to the next service; empty when not recording. */
  readonly traceparent: string
  set(attributes: Attributes): void
  /** `error` is a code or a reason, never a message. */
  end(error?: string): void
}

const noSpan: Span = { recording: false, traceparent: '', set() {}, end() {} }

export const noTelemetry: Telemetry = { startSpan: () => noSpan, shutdown: () => Promise.resolve() }

export interface TelemetryOptions {
  service: string
  version: string
  /** Address that OTLP/HTTP traces are posted to, for example "http://collector:4318/v1/traces". Empty: no traces. */
  tracesUrl: string
}

export async function startTelemetry({ service, version, tracesUrl }: TelemetryOptions): Promise<Telemetry> {
  if (tracesUrl === '') return noTelemetry
  const [{ TracerProvider, BatchSpanProcessor }, { OTLPTraceExporter }, { resourceFromAttributes }] = await Promise.all([
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/exporter-trace-otlp-proto'),
    import('@opentelemetry/resources'),
  ])
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': service, 'service.namespace': 'intramuros', 'service.version': version }),
    spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter({ url: tracesUrl, timeoutMillis: 2000 }) })],
  })
  const tracer = provider.getTracer('intramuros', version)
  const kinds = { server: SpanKind.SERVER, client: SpanKind.CLIENT, root: SpanKind.SERVER }
  return {
    startSpan(name, kind, parent) {
      const remote = parseTraceparent(parent)
      if (remote === undefined && kind !== 'root') return noSpan
      const context = remote === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, remote)
      const span = tracer.startSpan(name, { kind: kinds[kind] }, context)
      const { traceId, spanId, traceFlags } = span.spanContext()
      return {
        recording: span.isRecording(),
        traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`,
        set: (attributes) => void span.setAttributes(attributes),
        end(error) {
          if (error !== undefined) {
            span.setAttribute('error.type', error)
            span.setStatus({ code: SpanStatusCode.ERROR })
          }
          span.end()
        },
      }
    },
    async shutdown() {
      const limit = AbortSignal.timeout(2000)
      await Promise.race([
        provider.shutdown().catch(() => undefined),
        new Promise((resolve) => limit.addEventListener('abort', resolve, { once: true })),
      ])
    },
  }
}

/** https://www.w3.org/TR/trace-context/#traceparent-header, version 00. */
function parseTraceparent(header: string): SpanContext | undefined {
  const match = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(header)
  if (match === null) return undefined
  const [, traceId = '', spanId = '', flags = ''] = match
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true }
}

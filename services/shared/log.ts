import { hostname } from 'node:os'
import { pino } from 'pino'
import { createLineSink } from './line-sink.ts'

/**
 * Structured logs: one JSON object a line on standard output. The launcher renders them for people when it writes to a terminal.
 * Fields are allow-listed by whoever logs: counts, times, ids and reasons; nothing of a prompt, an answer or a key.
 */
export type Logger = Pick<pino.Logger, 'debug' | 'info' | 'warn' | 'error'>

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error'

export interface ServiceLogger extends Logger {
  /** Writes out what is buffered, synchronously. Call it before the process ends. */
  flush(): void
}

export function createLogger(service: string, level: LogLevel): ServiceLogger {
  const sink = createLineSink(1)
  const log = pino(
    {
      level,
      base: { service, pid: process.pid, host: hostname() },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      // pino's own would write an error's message, which may quote what it was made from.
      serializers: { err: (value: unknown) => (value instanceof Error ? describeError(value) : value) },
    },
    sink,
  )
  return {
    debug: log.debug.bind(log),
    info: log.info.bind(log),
    warn: log.warn.bind(log),
    error: log.error.bind(log),
    flush: () => sink.flush(),
  }
}

export interface DescribedError {
  type: string
  code?: string
  reason?: string
  /** Stack frames only, without the message line. */
  at?: string
  cause?: DescribedError
}

/** An error without its message: kind, code, reason and where it was thrown. Foreign messages may quote a client's input. */
export function describeError(thrown: unknown): DescribedError {
  if (!(thrown instanceof Error)) return { type: typeof thrown }
  const described: DescribedError = { type: thrown.name }
  if ('code' in thrown && (typeof thrown.code === 'string' || typeof thrown.code === 'number')) described.code = String(thrown.code)
  if ('reason' in thrown && typeof thrown.reason === 'string') described.reason = thrown.reason
  const frames = thrown.stack?.split('\n').filter((line) => /^\s+at /.test(line)).slice(0, 6).map((line) => line.trim())
  if (frames !== undefined && frames.length > 0) described.at = frames.join(' < ')
  if (thrown.cause !== undefined) described.cause = describeError(thrown.cause)
  return described
}

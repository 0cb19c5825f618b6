import { hostname } from 'node:os'
import type { Readable } from 'node:stream'
import { pino } from 'pino'
import { describeError, type Logger, type LogLevel } from '../../services/shared/log.ts'
import { createLineWriter } from './line-writer.ts'
import { splitLines } from './split-lines.ts'

export interface LogsOptions {
  level: LogLevel
  format: 'auto' | 'pretty' | 'json'
  /** Where lines go; standard error by default. */
  fd?: number
  /** Whether that is a terminal. */
  terminal: boolean
}

/** As much of a child process as its output needs. */
export interface Output {
  stdout: Readable | null
  stderr: Readable | null
  once(event: 'close', listener: (status: number | null) => void): unknown
}

export interface Logs {
  /** The launcher's own log. */
  log: Logger
  /** Passes a service's output on. `starting` tells whether it can't have had a request yet. */
  attach(name: string, child: Output, starting: () => boolean): void
  /** Waits until all is written, a second at most. */
  flush(): Promise<void>
}

/** How much of a service's last foreign text is told when it dies while starting. */
const lastTextLimit = 4000

/**
 * One log out of the launcher's and the services': their JSON lines as they are, or rendered for a person at a terminal. What isn't a JSON log line comes
 * from native code or Node itself and might quote what it works on: only its length is told, except while a service starts.
 */
export async function createLogs({ level, format, fd = 2, terminal }: LogsOptions): Promise<Logs> {
  const render = format === 'pretty' || (format === 'auto' && terminal) ? await prettyLine(terminal) : undefined
  const writer = createLineWriter(fd, (count) => `{"level":"warn","time":"${new Date().toISOString()}","service":"launcher","dropped":${count},"msg":"log lines were dropped: the reader is too slow"}`)
  const put = (line: string): void => writer.write(render?.(line) ?? line)
  const log = pino(
    {
      level,
      base: { service: 'launcher', pid: process.pid, host: hostname() },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError },
    },
    { write: (line: string) => put(line.trimEnd()) },
  )

  function attach(name: string, child: Output, starting: () => boolean): void {
    let lastText = ''
    const foreign = (bytes: number, text?: string): void => {
      if (text !== undefined && starting()) {
        lastText = `${lastText}${text}\n`.slice(-lastTextLimit)
        log.debug({ from: name, bytes, text: text.slice(0, lastTextLimit) }, 'a service wrote something other than a log line')
      } else log.debug({ from: name, bytes }, 'a service wrote something other than a log line')
    }
    const out = splitLines((line) => (isLogLine(line) ? put(line) : foreign(Buffer.byteLength(line), line)), foreign)
    const err = splitLines((line) => foreign(Buffer.byteLength(line), line), foreign)
    child.stdout?.on('data', out.push).once('end', out.end)
    child.stderr?.on('data', err.push).once('end', err.end)
    child.once('close', (status) => {
      if (status !== 0 && starting() && lastText !== '') log.error({ from: name, text: lastText }, 'what a service wrote before it died')
    })
  }

  return { log, attach, flush: () => writer.flush(1000) }
}

/** Whether a line is one of a service's logger, which starts with its level. */
function isLogLine(line: string): boolean {
  if (!line.startsWith('{"level":"')) return false
  try {
    const parsed: unknown = JSON.parse(line)
    return typeof parsed === 'object' && parsed !== null && 'time' in parsed && 'service' in parsed
  } catch {
    return false
  }
}

/** Renders a JSON line for people. Loaded only where there is one: it costs 30 ms. */
async function prettyLine(colorize: boolean): Promise<(line: string) => string> {
  const { default: pretty } = await import('pino-pretty')
  const render = pretty.prettyFactory({ colorize, ignore: 'pid,host,service', translateTime: 'SYS:HH:MM:ss.l', messageFormat: '{service}: {msg}', singleLine: true })
  return (line) => render(line).trimEnd()
}

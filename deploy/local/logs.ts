import { constants, openSync } from 'node:fs'
import { hostname } from 'node:os'
import type { Readable } from 'node:stream'
import { pino } from 'pino'
import { describeError, type Logger, type LogLevel } from '../../services/shared/log.ts'
import { createLineWriter } from './line-writer.ts'
import { splitLines } from './split-lines.ts'

export interface LogsOptions {
  level: LogLevel
  format: 'auto' | 'pretty' | 'json'
  /** Where lines go; standard error by default, or the terminal that it is. */
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
 * One log out of the launcher's and the services': their JSON lines as they are, or rendered for a person at a
 * terminal. What isn't a JSON log line comes from native code or Node itself and might quote what it works on: only
 * its length is told, except while a service starts.
 */
export async function createLogs({ level, format, terminal, fd = terminal ? openTerminal() : 2 }: LogsOptions): Promise<Logs> {
  const render = format === 'pretty' || (format === 'auto' && terminal) ? await prettyLine(terminal) : undefined
  const told = { level: 'warn', service: 'launcher', msg: 'log lines were dropped: the reader is too slow' }
  const writer = createLineWriter(fd, (dropped) => JSON.stringify({ ...told, time: new Date().toISOString(), dropped }))
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
      if (status === 0 || !starting() || lastText === '') return
      log.error({ from: name, text: lastText }, 'what a service wrote before it died')
    })
  }

  return { log, attach, flush: () => writer.flush(1000) }
}

/**
 * The terminal as a file of its own that doesn't block: a paused one (Ctrl-S) would hold up a thread, and with it the
 * end of this process. Standard error itself stays as it is, since npm and the shell share it.
 */
function openTerminal(): number {
  try {
    return openSync('/dev/tty', constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch {
    return 2
  }
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
  const render = pretty.prettyFactory({
    colorize,
    ignore: 'pid,host,service',
    translateTime: 'SYS:HH:MM:ss.l',
    messageFormat: '{service}: {msg}',
    singleLine: true,
  })
  return (line) => render(line).trimEnd()
}

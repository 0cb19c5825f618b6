import { execFileSync } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { closeSync, mkdtempSync, openSync, read, readFileSync, rmSync, constants } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createLineWriter } from './line-writer.ts'
import { createLogs, type LogsOptions } from './logs.ts'
import { splitLines } from './split-lines.ts'

let folder: string
let file: string
let fd: number
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'intramuros-logs-'))
  file = join(folder, 'log')
  fd = openSync(file, 'a')
})
afterEach(() => {
  closeSync(fd)
  rmSync(folder, { recursive: true })
})

/** What a child's output becomes. */
async function passed(output: { stdout?: string; stderr?: string; status?: number }, starting: boolean, options: Partial<LogsOptions> = {}): Promise<string> {
  const logs = await createLogs({ level: 'debug', format: 'auto', terminal: false, fd, ...options })
  const stdout = new PassThrough()
  const stderr = new PassThrough()
  const child = Object.assign(new EventEmitter(), { stdout, stderr })
  logs.attach('audit', child, () => starting)
  const ended = Promise.all([once(stdout, 'end'), once(stderr, 'end')])
  stdout.end(output.stdout)
  stderr.end(output.stderr)
  await ended
  child.emit('close', output.status ?? 0)
  await logs.flush()
  return readFileSync(file, 'utf8')
}

function linesOf(text: string): unknown[] {
  return text.trim().split('\n').map((one): unknown => JSON.parse(one))
}

const line = '{"level":"info","time":"2026-01-01T00:00:00.000Z","service":"audit","pid":1,"msg":"listening"}'

it('passes JSON log lines on as they are', async () => {
  expect(await passed({ stdout: `${line}\n${line}\n` }, false)).toBe(`${line}\n${line}\n`)
})

it('renders them for a person', async () => {
  const text = await passed({ stdout: `${line}\n` }, false, { format: 'pretty' })
  expect(text).toContain('audit: listening')
  expect(text).not.toContain('{')
})

it('tells only the length of foreign text, as it might quote content', async () => {
  const text = await passed({ stdout: 'my secret prompt\n{"secret": "prompt"}\n', stderr: 'secret', status: 1 }, false)
  expect(text).not.toContain('secret')
  expect(linesOf(text)).toMatchObject([
    { level: 'debug', service: 'launcher', from: 'audit', bytes: 16 },
    { level: 'debug', bytes: 20 },
    { level: 'debug', bytes: 6 },
  ])
})

it('tells what a service wrote when it dies while starting', async () => {
  const text = await passed({ stderr: 'SyntaxError: oops\n  at main.ts\n', status: 1 }, true, { level: 'info' })
  expect(linesOf(text)).toMatchObject([
    { level: 'error', from: 'audit', text: 'SyntaxError: oops\n  at main.ts\n' },
  ])
})

it('never waits for a reader: drops lines, counts them and says so', async () => {
  const pipe = join(folder, 'pipe')
  execFileSync('mkfifo', [pipe])
  const readSome = promisify(read)
  const both = openSync(pipe, constants.O_RDWR)
  try {
    const writer = createLineWriter(both, (count) => `dropped ${count}`, 300_000)
    for (let index = 0; index < 50; index += 1) writer.write('x'.repeat(10_000))
    const flushed = writer.flush(20_000)
    const buffer = Buffer.alloc(1_000_000)
    let text = ''
    while (!text.includes('dropped')) {
      const { bytesRead } = await readSome(both, buffer, 0, buffer.length, null)
      text += buffer.toString('utf8', 0, bytesRead)
    }
    await flushed
    expect(text.trim().split('\n').filter((one) => one.startsWith('x'))).toHaveLength(30)
    expect(text).toContain('dropped 20')
  } finally {
    closeSync(both)
  }
})

it('splits lines wherever the chunks end, and tells only the length of long ones', () => {
  const lines = fc.array(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }).filter((text) => !text.includes('\n')))
  fc.assert(
    fc.property(lines, fc.array(fc.nat(40)), (texts, cuts) => {
      const bytes = Buffer.from(texts.join('\n'))
      const out: (string | number)[] = []
      const splitter = splitLines((text) => out.push(text), (length) => out.push(length), 10)
      let from = 0
      for (const cut of cuts) {
        splitter.push(bytes.subarray(from, from + cut))
        from += cut
      }
      splitter.push(bytes.subarray(from))
      splitter.end()
      expect(out).toEqual(texts.map((text) => (Buffer.byteLength(text) > 10 ? Buffer.byteLength(text) : text)))
    }),
  )
})

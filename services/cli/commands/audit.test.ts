import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { Command, CommanderError } from 'commander'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openLog } from '../../audit/log/log.ts'
import { registerAudit } from './audit.ts'
import { exitStatusOf } from './context.ts'

let home: string

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'intramuros-commands-'))
})

afterEach(() => rm(home, { recursive: true, force: true }))

async function run(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  const out = new PassThrough({ encoding: 'utf8' })
  const err = new PassThrough({ encoding: 'utf8' })
  const program = new Command('intramuros').exitOverride().configureOutput({ writeErr: (text) => err.write(text) })
  registerAudit(program, { home: () => home, knownModels: () => [], auditFolder: () => join(home, 'audit'), out, err })
  let status = 0
  try {
    await program.parseAsync(args, { from: 'user' })
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown
    status = exitStatusOf(thrown)
  }
  return { status, out: String(out.read() ?? ''), err: String(err.read() ?? '') }
}

/** A log of three records, closed. */
async function writeLog(folder: string): Promise<void> {
  const silent = (): void => undefined
  const log = await openLog({
    folder,
    lockWaitMs: 1000,
    clock: () => Date.UTC(2026, 0, 1),
    log: { debug: silent, info: silent, warn: silent, error: silent },
    metrics: { group: silent },
    onRecord: silent,
    onFailed: silent,
  })
  const who = { instance: 'gateway', team: 'default', keyId: 'key_1' }
  const what = { model: 'm', endpoint: 'POST /v1/chat/completions', stream: false, requestBytes: 10 }
  for (const requestId of ['a', 'b', 'c']) await log.append([{ type: 'begin', requestId, ...who, ...what }])
  await log.close()
}

test('an intact log has status 0, wherever it lies', async () => {
  await writeLog(join(home, 'audit'))
  await writeLog(join(home, 'copy'))
  const { status, out } = await run('audit', 'verify')
  expect(status).toBe(0)
  expect(out).toMatch(/is intact: 3 records in \d+ bytes, 3 requests open, 0 interrupted\.\n$/)
  const asJson = await run('audit', 'verify', '--folder', join(home, 'copy'), '--json')
  expect(JSON.parse(asJson.out)).toMatchObject({ folder: join(home, 'copy'), ok: true, records: 3 })
})

test('a log that was tampered with has status 1 and names the record', async () => {
  await writeLog(join(home, 'audit'))
  const file = join(home, 'audit/audit.log')
  const text = await readFile(file, 'utf8')
  await writeFile(file, text.replace('"requestId":"b"', '"requestId":"B"'))
  const { status, out } = await run('audit', 'verify')
  expect(status).toBe(1)
  expect(out).toMatch(/was tampered with\.\nRecord 1 .*changed.*\.\n$/)
  const asJson = await run('audit', 'verify', '--json')
  expect(asJson.status).toBe(1)
  expect(JSON.parse(asJson.out)).toMatchObject({ ok: false, kind: 'changed', position: 1 })
})

test('no log, or one that cannot be read, is no verdict: status 2', async () => {
  expect(await run('audit', 'verify')).toMatchObject({ status: 2, out: '' })
  await writeFile(join(home, 'file'), '')
  expect(await run('audit', 'verify', '--folder', join(home, 'file'))).toMatchObject({ status: 2, out: '' })
  expect(await run('audit', 'verify', '--foldr', home)).toMatchObject({ status: 2, out: '' })
})

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { Command, CommanderError } from 'commander'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openTestLog } from '../../audit/test-support/open-test-log.ts'
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
  registerAudit(program, { directory: () => ({ home, place: undefined }), knownModels: () => [], auditFolder: () => join(home, 'audit'), auditKeyFile: () => join(home, 'audit-key/log.pub'), out, err })
  let status = 0
  try {
    await program.parseAsync(args, { from: 'user' })
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown
    status = exitStatusOf(thrown)
  }
  return { status, out: String(out.read() ?? ''), err: String(err.read() ?? '') }
}

/** A log of three requests, closed; its key is that of `audit`, whatever its folder. */
async function writeLog(name: string): Promise<void> {
  const log = await openTestLog(home, { folder: join(home, name), keyFolder: join(home, `${name}-key`) })
  const who = { instance: 'gateway', gatewayVersion: '1', team: 'default', keyId: 'key_1', subject: '', auth: 'api_key' } as const
  const what = { model: 'm', modelDigest: '', adapter: '', endpoint: 'POST /v1/chat/completions', stream: false, priority: 'batch', requestBytes: 10, parameters: {} } as const
  for (const requestId of ['a', 'b', 'c']) await log.append([{ type: 'request.begin', requestId, ...who, ...what }])
  await log.close()
}

test('an intact log has status 0, wherever it lies', async () => {
  await writeLog('audit')
  await writeLog('copy')
  const { status, out } = await run('audit', 'verify')
  expect(status).toBe(0)
  // The requests, and that the log was opened and closed.
  expect(out).toMatch(/is intact: 5 records in \d+ bytes, 3 requests open, 0 interrupted\.\nIts checkpoint is signed by the key of intramuros\.internal\/[0-9a-f]{32}, of the first 5 of 5 records\.\n$/)
  const copy = await run('audit', 'verify', '--folder', join(home, 'copy'), '--json')
  expect(JSON.parse(copy.out)).toMatchObject({ folder: join(home, 'copy'), ok: true, records: 5, keyChecked: false })
  const withKey = await run('audit', 'verify', '--folder', join(home, 'copy'), '--key', join(home, 'copy-key/log.pub'), '--json')
  expect(JSON.parse(withKey.out)).toMatchObject({ ok: true, keyChecked: true })
})

test('a log of another key has status 1', async () => {
  await writeLog('audit')
  await writeLog('other')
  const { status, out } = await run('audit', 'verify', '--key', await readFile(join(home, 'other-key/log.pub'), 'utf8').then((text) => text.trim()))
  expect(status).toBe(1)
  expect(out).toMatch(/checkpoint is not to be believed/)
})

test('a log that was tampered with has status 1 and names what is missing', async () => {
  await writeLog('audit')
  await rm(join(home, 'audit/tile/0/000.p'), { recursive: true })
  const { status, out } = await run('audit', 'verify')
  expect(status).toBe(1)
  expect(out).toMatch(/was tampered with\.\ntile\/0\/000\.p\/5 is missing\.\n$/)
  const asJson = await run('audit', 'verify', '--json')
  expect(asJson.status).toBe(1)
  expect(JSON.parse(asJson.out)).toMatchObject({ ok: false, kind: 'missing', path: 'tile/0/000.p/5' })
})

test('no log, a key that is none, or a log that cannot be read, is no verdict: status 2', async () => {
  expect(await run('audit', 'verify')).toMatchObject({ status: 2, out: '' })
  await writeFile(join(home, 'file'), '')
  expect(await run('audit', 'verify', '--folder', join(home, 'file'))).toMatchObject({ status: 2, out: '' })
  expect(await run('audit', 'verify', '--foldr', home)).toMatchObject({ status: 2, out: '' })
  await writeLog('audit')
  expect(await run('audit', 'verify', '--key', join(home, 'file'))).toMatchObject({ status: 2, out: '' })
  expect(await run('audit', 'verify', '--key', join(home, 'not-there'))).toMatchObject({ status: 2, out: '' })
})

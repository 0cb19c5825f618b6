import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { Command, CommanderError } from 'commander'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createReceipts } from '../../audit/receipts.ts'
import { beginOf, endOf } from '../../audit/test-support/example-records.ts'
import { createMemoryLog } from '../../audit/test-support/memory-log.ts'
import { signCheckpoint } from '../../audit/tlog/checkpoint.ts'
import { ed25519Signer } from '../../audit/tlog/note.ts'
import { makeNoteKey } from '../../audit/tlog/note-key.ts'
import { registerAudit } from './audit.ts'
import { exitStatusOf } from './context.ts'

const origin = 'ledger.example'
const { skey, vkey } = makeNoteKey(origin)
let home: string

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'intramuros-receipts-'))
  const log = createMemoryLog()
  const report = createHash('sha256').update('{"a": "report"}').digest('hex')
  await log.append([beginOf('a'), endOf('a'), beginOf('b'), { type: 'isolation.checked', instance: 'x', outcome: 'held', compared: 'first', components: [], attempts: 0, violations: 0, broken: 0, untried: 0, report, problems: [] }])
  const receipts = createReceipts({
    findRequest: () => Promise.resolve({ team: 'default', begin: 0, end: 1 }),
    store: log.store,
    checkpointOf: async () => signCheckpoint({ ...(await log.store.head()), origin }, [ed25519Signer(skey)]),
  })
  await writeFile(join(home, 'receipt'), await receipts.receiptOf('a', 'default'))
  await writeFile(join(home, 'isolation-receipt'), await receipts.isolationProof(3))
  await writeFile(join(home, 'report'), '{"a": "report"}')
  await writeFile(join(home, 'key'), `${vkey}\n`)
})
afterEach(() => rm(home, { recursive: true }))

async function run(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  const out = new PassThrough({ encoding: 'utf8' })
  const err = new PassThrough({ encoding: 'utf8' })
  const program = new Command('intramuros').exitOverride().configureOutput({ writeErr: (text) => err.write(text) })
  registerAudit(program, { directory: () => ({ home, place: undefined }), knownModels: () => [], auditFolder: () => join(home, 'audit'), auditKeyFile: () => join(home, 'audit-key/log.pub'), out, err })
  let status = 0
  try {
    await program.parseAsync(['audit', ...(args[0] === 'key' ? args : ['verify', ...args])], { from: 'user' })
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown
    status = exitStatusOf(thrown)
  }
  return { status, out: String(out.read() ?? ''), err: String(err.read() ?? '') }
}

test('a receipt that holds has status 0, with the key as it is or in a file, and no log beside it', async () => {
  const receipt = join(home, 'receipt')
  for (const key of [vkey, join(home, 'key')]) {
    const { status, out } = await run('--receipt', receipt, '--key', key)
    expect(status).toBe(0)
    expect(out).toContain('holds: record 1 of the log ledger.example, which then had 4 entries')
    expect(out).toContain('"requestId": "a"')
  }
  expect(JSON.parse((await run('--receipt', receipt, '--key', vkey, '--json')).out)).toMatchObject({ receipt, ok: true, index: 1, record: { type: 'request.end' } })
})

test('one that does not has status 1', async () => {
  const receipt = join(home, 'receipt')
  expect(await run('--receipt', receipt, '--key', makeNoteKey(origin).vkey)).toMatchObject({ status: 1, out: expect.stringContaining('does not hold') as string })
  await writeFile(receipt, 'c2sp.org/tlog-proof@v1\n')
  expect(await run('--receipt', receipt, '--key', vkey, '--json')).toMatchObject({ status: 1, out: expect.stringContaining('"kind":"malformed"') as string })
})

test('none, or no key, is no verdict: status 2', async () => {
  const receipt = join(home, 'receipt')
  expect(await run('--receipt', receipt)).toMatchObject({ status: 2, out: '' })
  expect(await run('--receipt', receipt, '--key', 'a+b+c')).toMatchObject({ status: 2, out: '' })
  expect(await run('--receipt', join(home, 'none'), '--key', vkey)).toMatchObject({ status: 2, out: '' })
})

test('the receipt of an isolation check is of its report, and of no other', async () => {
  const args = ['--receipt', join(home, 'isolation-receipt'), '--report', join(home, 'report'), '--key', vkey]
  expect(await run(...args)).toMatchObject({ status: 0, out: expect.stringContaining('"outcome": "held"') as string })
  expect(await run('--receipt', join(home, 'receipt'), ...args.slice(2))).toMatchObject({ status: 1, out: expect.stringContaining('something else than the report') as string })
  await writeFile(join(home, 'report'), '{"a": "rePort"}')
  expect(await run(...args)).toMatchObject({ status: 1, out: expect.stringContaining('does not hold') as string })
  await rm(join(home, 'report'))
  expect(await run(...args)).toMatchObject({ status: 2, out: '' })
})

test('the public key of the log is printed, for those who keep it', async () => {
  expect(await run('key')).toMatchObject({ status: 2, out: '' })
  await mkdir(join(home, 'audit-key'))
  await writeFile(join(home, 'audit-key/log.pub'), `${vkey}\n`)
  expect(await run('key')).toEqual({ status: 0, out: `${vkey}\n`, err: '' })
})

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { finished } from 'node:stream/promises'
import { Command, CommanderError } from 'commander'
import { Registry } from 'prom-client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { AuditService } from '../../../proto/gen/intramuros/v1/audit.ts'
import { AuditReadService } from '../../../proto/gen/intramuros/v1/audit_read.ts'
import { createIdentities, type Identities, silent } from '../../../test/support/identities.ts'
import { runProgram } from '../../../test/support/run-program.ts'
import { type LogIndex, openLogIndex } from '../../audit/index/log-index.ts'
import { type Reading, startReading } from '../../audit/reading/start-reading.ts'
import { openFolderStore } from '../../audit/store/folder/folder-store.ts'
import { appendTo, type TestLog } from '../../audit/test-support/append-to.ts'
import { createCheckpoints } from '../../audit/test-support/checkpoints.ts'
import { beginOf, endOf, refusedOf, timeOf } from '../../audit/test-support/example-records.ts'
import { createMemoryStore, type MemoryStore } from '../../audit/test-support/memory-store.ts'
import { decodeRecord } from '../../audit/records/record.ts'
import { makeNoteKey } from '../../audit/tlog/note-key.ts'
import { connectLane } from '../../shared/rpc/lane-client.ts'
import { createCallObserver } from '../../shared/rpc/observe.ts'
import { type RpcServer, serveRpc } from '../../shared/rpc/serve.ts'
import { noTelemetry } from '../../shared/telemetry.ts'
import { connectAuditReader, readerName } from '../audit-reader.ts'
import { openFolderReader } from '../folder-reader.ts'
import { registerAuditReading } from './audit-reading.ts'
import { registerAudit } from './audit.ts'
import { exitStatusOf } from './context.ts'
import { registerUsage } from './usage.ts'

let folder: string
let identities: Identities
let store: MemoryStore
let log: TestLog
let index: LogIndex
let reading: Reading
let server: RpcServer
let checkpoints: ReturnType<typeof createCheckpoints>
let now = 1000

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'intramuros-reading-'))
  identities = await createIdentities()
  store = createMemoryStore()
  log = appendTo(store)
  checkpoints = createCheckpoints(store)
  for (let n = 0; n < 300; n += 1) {
    const team = n % 3 === 0 ? 'hr' : 'law'
    const of = { team, keyId: `key_${n % 5}`, subject: n % 5 === 0 ? 'ada' : '', model: n % 2 === 0 ? 'small' : 'large' }
    await log.append(timeOf(n), beginOf(`r${n}`, of), endOf(`r${n}`, { team, outcome: n % 10 === 9 ? 'failed' : 'completed', error: n % 10 === 9 ? 'context_length_exceeded' : '' }))
  }
  await log.append(timeOf(400), beginOf('still-open', { team: 'hr' }), refusedOf({ team: 'hr', keyId: '-1+1', count: 7 }))
  await checkpoints.publish()
  index = openLogIndex({ file: join(folder, 'index.db'), store, log: silent })
  reading = startReading({
    store,
    content: { read: () => { throw new Error('not used here') } },
    index,
    vkey: checkpoints.vkey,
    async append(entry) {
      const first = await log.append(timeOf((now += 1)), entry)
      index.committed(first, await Array.fromAsync(store.entries(first, first + 1), (bytes) => bytes ?? new Uint8Array()))
    },
    log: silent,
    clock: () => now,
  })
  await index.reached(602, AbortSignal.timeout(30_000))
  const unused = (): never => {
    throw new Error('not used here')
  }
  server = await serveRpc({
    service: AuditService,
    handlers: { attach: unused, begin: unused, end: unused, record: unused, configure: unused, getReceipt: unused, keepContent: unused, proveIsolation: unused },
    beside: [reading.beside],
    identity: await identities.of('audit'),
    listen: '127.0.0.1:0',
    callers: ['gateway'],
    observer: createCallObserver('server', new Registry(), noTelemetry),
    log: silent,
  })
}, 60_000)

afterAll(async () => {
  await server.close(0)
  await reading.close()
  await identities.close()
  rmSync(folder, { recursive: true })
})

async function run(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  const told = { out: '', err: '' }
  const [out, err] = [new PassThrough({ encoding: 'utf8' }), new PassThrough({ encoding: 'utf8' })]
  out.on('data', (text: string) => (told.out += text))
  err.on('data', (text: string) => (told.err += text))
  const program = new Command('intramuros').exitOverride().configureOutput({ writeErr: (text) => err.write(text) })
  const openReader = (of: string | undefined) =>
    of === undefined ? connectAuditReader({ address: `127.0.0.1:${server.port}`, tlsFolder: identities.folder }) : openFolderReader(of, { keyFile: join(folder, 'log.pub'), err })
  const models = [{ model: 'small', input: 2, cached: 1, output: 10 }, { model: 'large', workerSecond: 0.5 }]
  const audit = registerAudit(program, { directory: () => ({ home: folder, place: undefined }), knownModels: () => [], auditFolder: () => folder, auditKeyFile: () => join(folder, 'log.pub'), out, err })
  registerAuditReading(audit, { openReader, out, err })
  registerUsage(program, { openReader, out, err, prices: () => ({ currency: 'EUR', models }), now: () => Date.UTC(2026, 10, 23) })
  let status = 0
  try {
    await program.parseAsync(args, { from: 'user' })
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown
    status = exitStatusOf(thrown)
  }
  await Promise.all([out, err].map((stream) => finished(stream.end())))
  return { status, ...told }
}

async function lastRecord(): Promise<unknown> {
  const [bytes] = await Array.fromAsync(store.entries(log.size - 1, log.size))
  return bytes && decodeRecord(bytes)
}

test('query pages through requests, and each read is a record first', async () => {
  const seen: string[] = []
  let after: string[] = []
  for (;;) {
    const { out } = await run('audit', 'query', '--team', 'hr', '--outcome', 'failed', '--limit', '4', '--json', ...after)
    const page = JSON.parse(out) as { requests: { requestId: string; team: string; end: { outcome: string } }[]; next?: number }
    expect(await lastRecord()).toMatchObject({ type: 'log.read', operation: 'query', team: 'hr', auth: 'certificate', by: `cli:${readerName()}` })
    for (const row of page.requests) expect([row.team, row.end.outcome]).toEqual(['hr', 'failed'])
    seen.push(...page.requests.map(({ requestId }) => requestId))
    if (page.next === undefined) break
    after = ['--after', String(page.next)]
  }
  const expected = Array.from({ length: 300 }, (_, n) => n).filter((n) => n % 3 === 0 && n % 10 === 9)
  expect(seen).toEqual(expected.toReversed().map((n) => `r${n}`))
  const { out, err } = await run('audit', 'query', '--model', 'large', '--limit', '2', '--oldest', '--from', '2026-11-01', '--to', '2026-12-01')
  expect(out).toMatch(/^BEGAN +TEAM +KEY +MODEL .*\n2026-11-01T00:00:00\.001Z +law +key_1 +large +POST \/v1\/chat\/completions +completed +10 +4 +20 +5 +2\n/)
  expect(err).toBe('There are more: --after 6\n')
  expect((await run('audit', 'query', '--outcome', 'open', '--json')).out).toContain('"requestId":"still-open"')
  expect((await run('audit', 'query', '--others', '--type', 'request.refused')).out).toMatch(/request\.refused +hr +.*count=7.* 601\n$/)
  expect((await run('audit', 'query', '--team', 'nobody')).out).toBe('No request matches.\n')
})

test('wrong options are status 2 and read nothing', async () => {
  const before = log.size
  for (const args of [['--outcome', 'fine'], ['--limit', '0'], ['--limit', '1001'], ['--from', 'yesterday'], ['--from', '2026-02-30'], ['--type', 'x'], ['--after', '-1'], ['--others', '--model', 'x']]) {
    expect(await run('audit', 'query', ...args), args.join(' ')).toMatchObject({ status: 2, out: '' })
  }
  expect(log.size).toBe(before)
})

test('tail prints the last records as they are', async () => {
  const { out } = await run('audit', 'tail', '-n', '3')
  const lines = out.trimEnd().split('\n').map((line) => JSON.parse(line) as { index: number; record: { type: string; operation?: string } })
  // The last is this very read, which was recorded first.
  expect(lines.map(({ index: at }) => at)).toEqual([log.size - 3, log.size - 2, log.size - 1])
  expect(lines.at(-1)?.record).toMatchObject({ type: 'log.read', operation: 'tail' })
  expect((await run('audit', 'tail', '--from-record', '0', '--team', 'hr')).out.split('\n').filter((line) => line.includes('"request.begin"')).length).toBe(101)
})

test('tail -f goes on with what is written', async () => {
  const reader = await connectAuditReader({ address: `127.0.0.1:${server.port}`, tlsFolder: identities.folder })
  const seen: bigint[] = []
  try {
    const followed = reader.tail({ team: '', fromIndex: BigInt(log.size), last: 0, follow: true })[Symbol.asyncIterator]()
    // The first is the record of this very read.
    for (let turn = 0; turn < 3; turn += 1) {
      const next = await followed.next()
      if (next.done !== true) seen.push(...next.value.records.map(({ index: at }) => at))
      const first = await log.append(timeOf((now += 1)), { type: 'log.closed', instance: 'audit' })
      index.committed(first, await Array.fromAsync(store.entries(first, first + 1), (bytes) => bytes ?? new Uint8Array()))
    }
  } finally {
    await reader.close()
  }
  expect(seen).toEqual([0n, 1n, 2n].map((at) => BigInt(log.size) - 4n + at))
})

test('usage with prices, as a table, CSV and JSON', async () => {
  const { out } = await run('usage', '--json')
  const { lines } = JSON.parse(out) as { lines: { name: string; requests: number; refused: number; cost: number }[] }
  // 50 of hr's requests went to "small", (6 * 2 + 4 * 1 + 20 * 10) / 1,000,000 each; the other 50 cost half of their 0.004 s.
  expect(lines).toEqual([expect.objectContaining({ name: 'hr', requests: 100, refused: 7, cost: 0.1108 }), expect.objectContaining({ name: 'law', requests: 200, refused: 0 })])
  expect((await run('usage', '--month', '2026-11', '--by', 'model')).out).toMatch(/^MODEL +REQUESTS .*COST EUR\n- +0 +7 .*\nlarge +150 .* 0\.30\nsmall +150 +0 +1500 +600 +3000 +0\.6 +0\.03\n$/)
  const csv = (await run('usage', '--by', 'person', '--csv')).out.split('\r\n')
  expect(csv[0]).toBe('month,person,requests,refused,inputTokens,cachedTokens,outputTokens,workerSeconds,cost,currency')
  expect(csv.some((line) => line.startsWith("2026-11,'-1+1,0,7,"))).toBe(true)
  expect(csv.some((line) => line.startsWith('2026-11,ada,60,0,600,240,1200,0.24,'))).toBe(true)
  expect((await run('usage', '--month', '2026-10')).out).toBe('Nothing was used.\n')
  expect(await run('usage', '--month', '2026-13')).toMatchObject({ status: 2 })
})

const python = (archive: string, key: string): Promise<string> => runProgram('python3', [join(import.meta.dirname, '../../../docs/audit/verify-export.py'), archive, key], { timeoutMs: 60_000 })

test('an export is checked offline by us and by a script of standard tools; any change is found by both', async () => {
  const archive = join(folder, 'export-law')
  const told = await run('audit', 'export', '--out', archive, '--team', 'law', '--from', '2026-11-01', '--to', '2026-11-01T00:00:00.150Z')
  expect(told.out).toMatch(/^200 records of a log of 602 are in /)
  expect(readdirSync(archive).toSorted()).toEqual(['archive.json', 'checkpoint', 'others.csv', 'records.jsonl', 'requests.csv', 'tile', 'vkey'])
  const requests = readFileSync(join(archive, 'requests.csv'), 'utf8').split('\r\n')
  expect(requests.length).toBe(102)
  expect(requests[1]).toBe('2026-11-01T00:00:00.001Z,2026-11-01T00:00:00.001Z,law,key_1,,large,POST /v1/chat/completions,true,completed,stop,,10,4,20,5000,4000,127.0.0.1:20001,r1,2,3')
  const good = await run('audit', 'verify', '--archive', archive, '--key', checkpoints.vkey)
  expect(good.status).toBe(0)
  expect(good.out).toMatch(/is intact: 200 records of team law of the log intramuros\.example\/audit, whose checkpoint is of 602 entries\.\n$/)
  expect((await run('audit', 'verify', '--archive', archive)).out).toContain('the key that it brings itself')
  expect(await python(archive, checkpoints.vkey)).toMatch(/^200 records are what stands in the log intramuros\.example\/audit/)

  const changes: [string, (content: Buffer) => Buffer][] = [
    ['records.jsonl', (content) => Buffer.from(content.toString('latin1').replace('"outputTokens":20', '"outputTokens":2'))],
    ['records.jsonl', (content) => Buffer.from(content.toString('latin1').split('\n').slice(1).join('\n'))],
    ['records.jsonl', (content) => Buffer.from(content.toString('latin1').split('\n').toSpliced(0, 2, ...content.toString('latin1').split('\n').slice(0, 2).toReversed()).join('\n'))],
    ['checkpoint', (content) => Buffer.from(content.toString().replace('\n602\n', '\n601\n'))],
    ['tile/0/000', (content) => Buffer.from(content.with(0, (content[0] ?? 0) ^ 1))],
    ['tile/1/000.p/2', (content) => Buffer.from(content.with(40, (content[40] ?? 0) ^ 128))],
  ]
  for (const [file, change] of changes) {
    const path = join(archive, file)
    const before = readFileSync(path)
    const changed = change(before)
    expect(changed.equals(before), file).toBe(false)
    writeFileSync(path, changed)
    expect((await run('audit', 'verify', '--archive', archive, '--key', checkpoints.vkey)).status, file).toBe(1)
    await expect(python(archive, checkpoints.vkey), file).rejects.toThrow('NOT what was logged')
    writeFileSync(path, before)
  }
  const stranger = makeNoteKey('intramuros.example/audit').vkey
  expect((await run('audit', 'verify', '--archive', archive, '--key', stranger)).out).toContain('not signed with the key')
  await expect(python(archive, stranger)).rejects.toThrow('not signed with this key')
  await expect(run('audit', 'export', '--out', archive)).rejects.toThrow('is there already')
  expect(await run('audit', 'verify', '--archive', join(folder, 'nothing'))).toMatchObject({ status: 2 })
}, 120_000)

test('the whole log is exported as a log in tiles, with what was pruned left out', async () => {
  await store.prune([0, 1, 255, 256])
  await checkpoints.publish()
  const { size } = await store.head()
  const archive = join(folder, 'export-all')
  const about = JSON.parse((await run('audit', 'export', '--out', archive, '--json')).out) as { records: number; size: number }
  expect(about).toMatchObject({ size, records: size - 4 })
  expect(await python(archive, checkpoints.vkey)).toContain('\n4 entries of that part of the log are not in the export')
  expect((await run('audit', 'verify', '--archive', archive, '--key', checkpoints.vkey)).out).toContain('\n4 entries between')
  expect(readFileSync(join(archive, 'tile/entries/000')).subarray(0, 4)).toEqual(Buffer.alloc(4))
  expect(readdirSync(join(archive, 'tile/entries')).toSorted()).toEqual(['000', '001', '002.p'])
})

test('a folder is read where no platform runs, and it is said that nothing is recorded', async () => {
  const logFolder = join(folder, 'audit')
  const kept = await openFolderStore({ folder: logFolder, lockWaitMs: 1000, timeoutMs: 30_000, onTrouble: () => undefined })
  const own = appendTo(kept)
  for (let n = 0; n < 300; n += 1) await own.append(timeOf(n), beginOf(`f${n}`, { team: 'hr' }), endOf(`f${n}`, { team: 'hr' }))
  const signed = createCheckpoints(kept)
  await signed.publish()
  await kept.close()
  writeFileSync(join(folder, 'log.pub'), `${signed.vkey}\n`)
  const page = await run('audit', 'query', '--folder', logFolder, '--team', 'hr', '--limit', '1', '--json')
  expect(page.err).toBe(`The log is read from ${logFolder}: this read is not recorded.\n`)
  expect(JSON.parse(page.out)).toMatchObject({ requests: [{ requestId: 'f299', beginIndex: 598 }], next: 598 })
  expect((await run('audit', 'tail', '--folder', logFolder, '-n', '2')).out).toContain('{"index":599,')
  expect((await run('usage', '--folder', logFolder)).out).toMatch(/\nhr +300 /)
  await run('audit', 'export', '--folder', logFolder, '--out', join(folder, 'export-folder'))
  expect(await python(join(folder, 'export-folder'), signed.vkey)).toContain('600 records')
  expect(await run('audit', 'tail', '--folder', logFolder, '-f')).toMatchObject({ status: 2 })
  await expect(run('audit', 'query', '--folder', folder)).rejects.toThrow('There is no audit log')
}, 60_000)

test('each method answers to its own callers alone', async () => {
  const gateway = connectLane({
    service: AuditReadService, peer: 'audit', address: `127.0.0.1:${server.port}`, identity: await identities.of('gateway'),
    observer: createCallObserver('client', new Registry(), noTelemetry), log: silent, onStateChange: (isUp) => isUp && up.resolve(),
  })
  const up = Promise.withResolvers<void>()
  await up.promise
  const done = new AbortController()
  const call = { requestId: 'x', signal: done.signal }
  try {
    const refused = { code: 'PERMISSION_DENIED', reason: 'caller_not_allowed' }
    await expect(gateway.unary(AuditReadService.usage, { reader: 'x', month: '', team: '', by: [] }, call)).rejects.toMatchObject(refused)
    await expect(gateway.stream(AuditReadService.tail, { reader: 'x', team: '', fromIndex: undefined, last: 1, follow: false }, call).next()).rejects.toMatchObject(refused)
    const note = await gateway.unary(AuditReadService.readCheckpoint, { reader: '' }, call)
    expect(note.content.toString()).toMatch(/^intramuros\.example\/audit\n/)
    const before = log.size
    expect((await gateway.unary(AuditReadService.readTile, { reader: '', path: 'tile/0/000' }, call)).content.length).toBe(8192)
    expect(log.size).toBe(before)
    await gateway.unary(AuditReadService.readTile, { reader: 'auditor', path: 'tile/entries/000' }, call)
    await gateway.unary(AuditReadService.readTile, { reader: 'auditor', path: 'tile/entries/001' }, call)
    expect(log.size).toBe(before + 1)
    expect(await lastRecord()).toMatchObject({ type: 'log.read', operation: 'tiles', by: 'gateway:auditor' })
    for (const path of ['tile/0/999', 'tile/entries/999', '../audit.log']) await expect(gateway.unary(AuditReadService.readTile, { reader: 'x', path }, call)).rejects.toMatchObject({ reason: 'no_such_tile' })

    const watched = gateway.stream(AuditReadService.watchUsage, { fromMonth: '2026-11' }, call)
    const first = await watched.next()
    expect(first.value).toMatchObject({ snapshot: true, used: [{ month: '2026-11', team: 'hr', sums: { requests: 100n, refused: 7n } }, { month: '2026-11', team: 'law' }] })
    await log.append(timeOf((now += 1)), endOf('still-open', { team: 'hr', outputTokens: 9 }))
    await index.reached(log.size, AbortSignal.timeout(20_000))
    const second = await watched.next()
    expect(second.value).toMatchObject({ snapshot: false, used: [{ month: '2026-11', team: 'hr', sums: { requests: 1n, outputTokens: 9n } }], size: BigInt(log.size) })
  } finally {
    done.abort()
    gateway.close()
  }
}, 60_000)

test('a request is found by its id; streams end when the service drains', async () => {
  expect(await reading.find('r299')).toEqual({ team: 'law', begin: 598, end: 599 })
  expect(await reading.find('nobody')).toBeUndefined()
  const reader = await connectAuditReader({ address: `127.0.0.1:${server.port}`, tlsFolder: identities.folder })
  try {
    const followed = reader.tail({ team: '', fromIndex: undefined, last: 1, follow: true })[Symbol.asyncIterator]()
    await followed.next()
    const next = followed.next()
    reading.drain()
    await expect(next).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'draining' })
  } finally {
    await reader.close()
  }
}, 60_000)

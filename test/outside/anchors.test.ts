import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { AnchoredCheckpoint } from '../../services/audit/anchors/anchor.ts'
import { createHttpServer, type HttpAnswer, type HttpServer } from '../../services/audit/anchors/http-call.ts'
import { createS3Anchor } from '../../services/audit/anchors/s3-anchor.ts'
import { formatQuery, sha256, sigV4Time, signV4 } from '../../services/audit/anchors/sigv4.ts'
import { type OutsideOptions, startOutside } from '../../services/audit/anchors/start.ts'
import { createGrowingLog } from '../../services/audit/anchors/test-support/growing-log.ts'
import type { OpenLog } from '../../services/audit/open-log.ts'
import { openTestLog, refusal } from '../../services/audit/test-support/open-test-log.ts'
import { s3ServerProgram } from '../support/outside-tools.ts'
import { until } from '../support/platform.ts'
import { runProgram } from '../support/run-program.ts'

/** Write-once places of others: an S3 server with object lock (versitygw), and a TLS receiver of syslog (openssl). */
const keys = { accessKey: 'ledger', secretKey: 'a-secret-of-this-test' }
const children: ChildProcess[] = []
let folder: string
let certificate: string
let key: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'outside-anchors-'))
  certificate = join(folder, 'cert.pem')
  key = join(folder, 'key.pem')
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  await runProgram('openssl', [...request, '-keyout', key, '-out', certificate], { timeoutMs: 60_000 })
})
afterAll(async () => {
  for (const child of children) {
    if (child.exitCode === null && child.kill('SIGKILL')) await once(child, 'exit')
  }
  await rm(folder, { recursive: true })
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** A log, and what the audit service starts beside it with these anchors. */
async function startWith(anchor: object): Promise<{ log: OpenLog; metrics: () => Promise<string>; warnings: string[]; stop(): Promise<void> }> {
  const home = await mkdtemp(join(folder, 'log-'))
  const log = await openTestLog(home, { checkpointMs: 50 })
  const registry = new Registry()
  const warnings: string[] = []
  const quiet = (): void => undefined
  const warn = (fields: object, text?: string): void => void warnings.push(`${text} ${JSON.stringify(fields)}`)
  const settings = { witnesses: [], witnessSeconds: 60, anchors: [{ everySeconds: 1, caFile: certificate, ...anchor }], keyFolder: join(home, 'audit-key') } as unknown as OutsideOptions['settings']
  const outside = await startOutside({ settings, store: log.store, vkey: log.signer.vkey, publishCosigned: log.publishCosigned, registry, log: { debug: quiet, info: quiet, warn, error: warn } })
  return {
    log,
    metrics: () => registry.metrics(),
    warnings,
    async stop() {
      await outside.close()
      await log.close()
    },
  }
}

describe('a bucket with object lock', () => {
  let server: HttpServer
  const signal = new AbortController().signal

  beforeAll(async () => {
    const program = await s3ServerProgram()
    const port = await freePort()
    for (const name of ['root', 'versions']) await mkdir(join(folder, name))
    const child = spawn(program, ['--quiet', '--port', `127.0.0.1:${port}`, '--cert', certificate, '--key', key, 'posix', '--versioning-dir', join(folder, 'versions'), join(folder, 'root')], {
      stdio: 'ignore',
      env: { ...process.env, ROOT_ACCESS_KEY: keys.accessKey, ROOT_SECRET_KEY: keys.secretKey },
    })
    children.push(child)
    await writeFile(join(folder, 'access'), keys.accessKey)
    await writeFile(join(folder, 'secret'), keys.secretKey)
    server = createHttpServer({ url: `https://localhost:${port}`, ca: await readFile(certificate, 'utf8'), timeoutMs: 10_000, maxAnswerBytes: 1_000_000 })
    await until(async () => (await call('GET', '/').catch(() => undefined))?.status === 200, 'the S3 server', 30_000)
    for (const [bucket, locked] of [['ledger', 'true'], ['other', 'true'], ['unlocked', 'false']] as const) {
      const { status } = await call('PUT', `/${bucket}`, { headers: { 'x-amz-bucket-object-lock-enabled': locked } })
      if (status !== 200) throw new Error(`the bucket ${bucket} could not be made: ${status}`)
    }
  })
  afterAll(() => server.close())

  /** As the owner of everything. */
  async function call(method: string, path: string, { query = {}, headers = {}, body = '' }: { query?: Record<string, string>; headers?: Record<string, string>; body?: string } = {}): Promise<HttpAnswer> {
    const time = sigV4Time(Date.now())
    const all = { ...headers, host: server.host, 'x-amz-content-sha256': sha256(body), 'x-amz-date': time }
    const authorization = signV4({ method, path, query, headers: all, bodySha256: sha256(body) }, keys, { region: 'us-east-1', service: 's3', time })
    const search = formatQuery(query)
    return await server.call({ method: method as 'GET', path: search === '' ? path : `${path}?${search}`, headers: { ...all, authorization }, body }, signal)
  }

  const anchorOf = (bucket: string, prefix = '', secretKey = keys.secretKey) =>
    createS3Anchor({ name: 'worm', server, region: 'us-east-1', bucket, prefix, retentionDays: 2, credentials: async () => ({ ...keys, secretKey }), clock: Date.now })

  test('checkpoints of a growing log get there, and not even the owner deletes one or shortens its lock', async () => {
    const { log, metrics, warnings, stop } = await startWith({
      name: 'worm', kind: 's3', s3Url: `https://${server.host}`, s3Bucket: 'ledger', s3Prefix: 'hospital/a-b', s3AccessKeyFile: join(folder, 'access'), s3SecretKeyFile: join(folder, 'secret'), s3RetentionDays: 2,
    })
    const objects = async (): Promise<string[]> => [...(await call('GET', '/ledger', { query: { 'list-type': '2' } })).body.toString().matchAll(/<Key>([^<]+)<\/Key>/g)].map(([, name = '']) => name)
    try {
      await until(async () => (await objects()).length > 0, `a first checkpoint: ${warnings.join()}`)
      const before = await objects()
      await log.append([refusal('a'), refusal('b')])
      await until(async () => (await objects()).length > before.length, `a second checkpoint: ${warnings.join()}`)
      expect(await metrics()).toMatch(/worm/)
    } finally {
      await stop()
    }
    expect(warnings).toEqual([])
    const name = (await objects()).at(-1) ?? ''
    const path = `/ledger/${name.split('/').map(encodeURIComponent).join('/')}`
    const size = Number(/(\d{16})\.checkpoint$/.exec(name)?.[1])
    const object = await call('GET', path)
    expect(log.signer.sizeOf(object.body.toString())).toBe(size)
    const version = String(object.headers['x-amz-version-id'])
    const locked = await call('HEAD', path)
    expect(locked.headers['x-amz-object-lock-mode']).toBe('COMPLIANCE')
    expect(Math.abs(Date.parse(String(locked.headers['x-amz-object-lock-retain-until-date'])) - Date.now() - 2 * 86_400_000)).toBeLessThan(300_000)
    const shorter = `<Retention xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Mode>COMPLIANCE</Mode><RetainUntilDate>${new Date(Date.now() + 60_000).toISOString()}</RetainUntilDate></Retention>`
    expect((await call('PUT', path, { query: { retention: '' }, body: shorter })).status).toBeGreaterThanOrEqual(400)
    expect((await call('DELETE', path, { query: { versionId: version } })).status).toBe(403)
    expect((await call('GET', path)).body.equals(object.body)).toBe(true)
  })

  test('the same checkpoint again is well; another one of its size, or a smaller log, is an alarm', async () => {
    const ours = createGrowingLog('a')
    const anchor = anchorOf('other', 'log')
    const [five, nine, twelve] = [5, 9, 12].map((size) => ours.checkpoint(size))
    for (const one of [five, five, nine, twelve, twelve]) if (one !== undefined) await anchor.put(one, signal)
    await expect(anchor.put(createGrowingLog('b').checkpoint(12), signal)).rejects.toThrow(/another checkpoint of 12 records/)
    await expect(anchor.put(nine ?? ours.checkpoint(13), signal)).rejects.toThrow(/checkpoint of 12 records, and the log's newest is of 9/)
    await call('PUT', '/other/log/0000000000000020.checkpoint', { body: 'no checkpoint', headers: { 'content-type': 'text/plain' } })
    await expect(anchor.put(ours.checkpoint(20), signal)).rejects.toThrow(/is no checkpoint/)
  })

  test('a bucket without object lock, one that is not there and a wrong key are told, and never count as done', async () => {
    const checkpoint: AnchoredCheckpoint = createGrowingLog('a').checkpoint(3)
    await expect(anchorOf('unlocked').put(checkpoint, signal)).rejects.toThrow(/The server answered PUT with status 4\d\d \(\w+\)|does not say that it is locked/)
    await expect(anchorOf('nowhere').put(checkpoint, signal)).rejects.toThrow(/status 404 \(NoSuchBucket\)/)
    await expect(anchorOf('other', 'log', 'a wrong key').put(checkpoint, signal)).rejects.toThrow(/status 403 \(SignatureDoesNotMatch\)/)
  })
})

describe('a receiver of syslog over TLS', () => {
  const stops: (() => Promise<void>)[] = []
  afterEach(async () => {
    for (const stop of stops.splice(0)) await stop()
  })

  test('gets each checkpoint as one message, from which the signed note can be had again', async () => {
    const port = await freePort()
    const receiver = spawn('openssl', ['s_server', '-quiet', '-accept', `127.0.0.1:${port}`, '-cert', certificate, '-key', key], { stdio: ['pipe', 'pipe', 'inherit'] })
    children.push(receiver)
    let got = ''
    receiver.stdout.setEncoding('utf8').on('data', (part: string) => (got += part))
    const { log, warnings, stop } = await startWith({ name: 'siem', kind: 'syslog', syslogAddress: `localhost:${port}`, syslogTransport: 'tls' })
    stops.push(stop)
    const sizes = (): number[] => [...got.matchAll(/\{"size":[^}]*\}/g)].map(([json]) => log.signer.sizeOf((JSON.parse(json) as { checkpoint: string }).checkpoint))
    await until(() => sizes().length > 0, `a first message: ${warnings.join()}`)
    const index = await log.append([refusal('a')])
    await until(() => (sizes().at(-1) ?? 0) > index, `a later one: ${warnings.join()}`)
    // RFC 5425: the length in bytes, a space, the message.
    const [, length, rest = ''] = /^(\d+) ([^]*)$/.exec(got) ?? []
    expect(rest.slice(0, Number(length))).toMatch(/^<109>1 [^]*\}$/)
  })

  test('with a certificate of somebody else gets nothing, and that is told', async () => {
    const port = await freePort()
    const strange = [join(folder, 'strange.pem'), join(folder, 'strange.key')] as const
    await runProgram('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', strange[1], '-out', strange[0]], { timeoutMs: 60_000 })
    const receiver = spawn('openssl', ['s_server', '-quiet', '-accept', `127.0.0.1:${port}`, '-cert', strange[0], '-key', strange[1]], { stdio: ['pipe', 'pipe', 'ignore'] })
    children.push(receiver)
    let got = ''
    receiver.stdout.setEncoding('utf8').on('data', (part: string) => (got += part))
    const { warnings, stop } = await startWith({ name: 'siem', kind: 'syslog', syslogAddress: `localhost:${port}`, syslogTransport: 'tls' })
    stops.push(stop)
    await until(() => warnings.some((line) => line.includes('SELF_SIGNED') || line.includes('CERT')), 'the warning')
    expect(got).toBe('')
  })
})

import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { createServer, get } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { connect } from 'node:tls'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Logger } from '../../services/shared/log.ts'
import { echoClient, handshake, serveEcho, whoAmI, whoAmIAnew } from '../../services/shared/tls/echo.ts'
import { httpsOptions, keepCertificateCurrent } from '../../services/shared/tls/https-options.ts'
import { type Identity, watchIdentity } from '../../services/shared/tls/identity.ts'
import { sanOf } from '../../services/shared/tls/service-name.ts'
import { ensureCertificates } from './certificates.ts'

const day = 86_400_000
const year = 365 * day
const names = ['gateway', 'tokenizer', 'https'] as const
const patience = { timeout: 10_000, interval: 5 }
const complaints: string[] = []
const complain = (_: unknown, message?: unknown): void => void complaints.push(String(message))
const log: Logger = { debug() {}, info() {}, warn: complain, error: complain }

let folder: string
let identities: Record<(typeof names)[number], Identity>
let ports: { echo: number; https: number }
const closing: (() => void | Promise<void>)[] = []

const ensureAt = (ms: number, leafLifetimeMs = 30 * day): Promise<unknown> =>
  ensureCertificates({ folder, now: () => new Date(Date.now() + ms), httpsNames: [], leafLifetimeMs })

beforeEach(async () => {
  complaints.length = 0
  folder = await mkdtemp(join(tmpdir(), 'intramuros-rotation-'))
  closing.push(() => rm(folder, { recursive: true }))
})
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

/** A gRPC and an HTTPS server with the certificates of the folder. */
async function start(): Promise<void> {
  const caFile = join(folder, 'ca.crt')
  const open = (name: string): Promise<Identity> => watchIdentity({ file: join(folder, `${name}.pem`), caFile, log, pollMs: 50 })
  const [gateway, tokenizer, https] = await Promise.all([open('gateway'), open('tokenizer'), open('https')])
  identities = { gateway, tokenizer, https }
  const echo = await serveEcho(tokenizer)
  const server = createServer(httpsOptions(https), (_, response) => response.end('hello'))
  const stop = keepCertificateCurrent(server, https)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  ports = { echo: echo.port, https: (server.address() as AddressInfo).port }
  closing.push(() => {
    for (const name of names) identities[name].close()
    echo.close()
    stop()
    server.close()
    server.closeAllConnections()
  })
}

const serialOf = (pem: Buffer): string => new X509Certificate(pem).serialNumber
const serials = (): string[] => names.map((name) => serialOf(identities[name].current().cert))

async function serialOfHttps(): Promise<string> {
  const socket = connect({ host: 'localhost', port: ports.https, ca: identities.https.current().ca })
  await once(socket, 'secureConnect')
  const { serialNumber } = socket.getPeerCertificate()
  socket.destroy()
  return serialNumber
}

/** What peers see at new handshakes: the gateway's, the tokenizer's and the public certificate. */
async function presented(): Promise<string[]> {
  const { key, cert, ca } = identities.gateway.current()
  const { certificate } = await handshake(ports.echo, { key, cert, ca, servername: sanOf('tokenizer') })
  const caller = await whoAmIAnew(ports.echo, 'tokenizer', identities.gateway)
  return [caller.split(' ')[1] ?? '', certificate.serialNumber, await serialOfHttps()]
}

async function getHello(): Promise<void> {
  const options = { host: 'localhost', port: ports.https, ca: identities.https.current().ca, agent: false }
  const response = await new Promise<IncomingMessage>((resolve, reject) => void get(options, resolve).once('error', reject))
  expect(await text(response)).toBe('hello')
}

/** Resolves once each service has another certificate than before. */
async function renewedSince(before: readonly string[]): Promise<void> {
  await expect.poll(() => serials().filter((serial) => before.includes(serial)), patience).toEqual([])
}

/**
 * Calls in loops, over an open connection and over new ones, until stop(); which tells how many there were. Any failure fails the
 * test.
 */
function load(): { stop(): Promise<number> } {
  let calls = 0
  let over = false
  const open = echoClient(ports.echo, 'tokenizer', identities.gateway)
  const loop = async (call: () => Promise<unknown>): Promise<void> => {
    while (!over) {
      await call()
      calls += 1
    }
  }
  const loops = Promise.all([
    loop(() => whoAmI(open)),
    loop(() => whoAmIAnew(ports.echo, 'tokenizer', identities.gateway)),
    loop(getHello),
  ])
  loops.catch(() => (over = true))
  return {
    async stop() {
      over = true
      await loops
      open.close()
      return calls
    },
  }
}

test('certificates are replaced many times while calls go on: none fails, and each replacement is taken up', async () => {
  // The CA is from before both of the times between which the clock jumps; at each jump the leaves are due, or not valid yet.
  await ensureAt(-26 * day)
  await start()
  const running = load()
  const seen = new Set<string>(serials())
  for (let round = 0; round < 8; round += 1) {
    const before = serials()
    await ensureAt(round % 2 === 0 ? 0 : -25 * day)
    await renewedSince(before)
    for (const serial of serials()) seen.add(serial)
    expect(await presented()).toEqual(serials())
  }
  expect(await running.stop()).toBeGreaterThan(50)
  expect(seen.size).toBe(9 * names.length)
  expect(complaints).toEqual([])
})

test('the CA is replaced while calls go on: none fails', async () => {
  await ensureAt(-9 * year, 9.9 * year)
  await start()
  const authoritiesOf = (ca: Buffer): number => ca.toString().split('BEGIN CERTIFICATE').length - 1
  const authorities = (): number[] => names.map((name) => authoritiesOf(identities[name].current().ca))
  const issuers = (): string[] => names.map((name) => new X509Certificate(identities[name].current().cert).issuer)
  const [old = ''] = issuers()
  const running = load()
  let before = serials()

  await ensureAt(0) // the CA is in the last sixth of its life: the next one is published
  await expect.poll(authorities, patience).toEqual([2, 2, 2])
  await renewedSince(before)
  expect(issuers()).toEqual([old, old, old])
  expect(await presented()).toEqual(serials())

  before = serials()
  await ensureAt(120_000, 2 * year) // two minutes later it signs
  await renewedSince(before)
  expect(issuers()).not.toContain(old)
  expect(await presented()).toEqual(serials())

  await ensureAt(1.1 * year, 2 * year) // the old one has expired
  await expect.poll(authorities, patience).toEqual([1, 1, 1])
  expect(await presented()).toEqual(serials())
  await running.stop()
  expect(complaints).toEqual([])
})

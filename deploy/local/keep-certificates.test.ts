import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type CertificateOptions, type CertificateState, ensureCertificates, keepCertificatesFresh } from './certificates.ts'
import { StartError } from './start-error.ts'

const day = 86_400_000
const start = new Date('2026-03-01T12:00:00Z')
const leaves = ['gateway.pem', 'tokenizer.pem', 'inference-worker.pem', 'audit.pem', 'cli.pem', 'https.pem']

let clock: Date
let options: CertificateOptions

beforeEach(async () => {
  clock = start
  options = { folder: await mkdtemp(join(tmpdir(), 'intramuros-renewal-')), now: () => clock, httpsNames: [] }
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
})
afterEach(async () => {
  vi.useRealTimers()
  await rm(options.folder, { recursive: true })
})

const after = (ms: number): Date => new Date(start.getTime() + ms)

interface Report {
  state: CertificateState | undefined
  failure: unknown
}

/** Runs it until its first report. */
async function firstReport(renewAt: Date, waitMs: number): Promise<Report & { stop: () => void }> {
  const { promise, resolve } = Promise.withResolvers<Report>()
  const stop = keepCertificatesFresh(options, renewAt, (state, failure) => resolve({ state, failure }))
  await vi.advanceTimersByTimeAsync(waitMs - 1)
  expect(vi.getTimerCount()).toBe(1)
  await vi.advanceTimersByTimeAsync(1)
  return { ...(await promise), stop }
}

test('renews when it is time, and goes on', async () => {
  const { renewAt } = await ensureCertificates(options)
  clock = new Date(renewAt.getTime() - 90_000)
  const waiting = firstReport(renewAt, 90_000)
  clock = renewAt
  const { state, stop } = await waiting
  expect(state?.changed).toEqual(leaves)
  expect(vi.getTimerCount()).toBe(1)
  stop()
  expect(vi.getTimerCount()).toBe(0)
})

test('looks hourly, so that a clock that was moved forward is seen', async () => {
  const { renewAt } = await ensureCertificates(options)
  const waiting = firstReport(renewAt, 3_600_000)
  clock = after(25 * day)
  const { state, stop } = await waiting
  stop()
  expect(state?.changed).toEqual(leaves)
})

test('reports a failure and tries again a minute later', async () => {
  await ensureCertificates(options)
  const caKey = join(options.folder, 'ca.key')
  const whole = await readFile(caKey, 'utf8')
  await writeFile(caKey, '')
  const reports: Report[] = []
  const reported = (): Promise<void> => vi.waitFor(() => expect(reports).not.toEqual([]), { interval: 1 })
  clock = after(21 * day)
  const stop = keepCertificatesFresh(options, clock, (state, failure) => void reports.push({ state, failure }))
  await vi.advanceTimersByTimeAsync(1000)
  await reported()
  expect(reports.splice(0)[0]?.failure).toBeInstanceOf(StartError)
  await writeFile(caKey, whole)
  await vi.advanceTimersByTimeAsync(60_000)
  await reported()
  stop()
  expect(reports[0]?.state?.changed).toEqual(leaves)
})

test('ends for good when it is stopped during a check', async () => {
  await ensureCertificates(options)
  const { promise, resolve } = Promise.withResolvers<undefined>()
  let stop = (): void => undefined
  let calls = 0
  const now = (): Date => {
    calls += 1
    if (calls === 2) stop() // the first call is for the wait
    return clock
  }
  stop = keepCertificatesFresh({ ...options, now }, clock, () => resolve(undefined))
  await vi.advanceTimersByTimeAsync(1000)
  await promise
  expect(calls).toBeGreaterThanOrEqual(2)
  expect(vi.getTimerCount()).toBe(0)
})

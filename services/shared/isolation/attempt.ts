import { execFile } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { connect, isIP } from 'node:net'
import { randomInt } from 'node:crypto'
import { type Observation, resultOfError, resultOfPing } from './observation.ts'
import type { Target } from './target.ts'

export interface AttemptOptions {
  /** Longest wait for anything to come back, milliseconds. At least 3500, or one packet that is lost looks like a wall: TCP tries again after 1 s and 3 s. */
  timeoutMs: number
  /** The program ping, from iputils; `untried` where there is none. */
  ping?: string
}

type Outcome = Omit<Observation, 'ms'>

export const defaultTimeoutMs = 4000
/** A lost datagram is nobody's wall. */
const datagrams = 3

/** Tries to get through to an address. Never throws: what goes wrong is what was to be found out. */
export async function attempt(target: Target, { timeoutMs, ping = 'ping' }: AttemptOptions): Promise<Observation> {
  const began = performance.now()
  const outcome = await tries[target.method](target, timeoutMs, ping)
  return { ...outcome, ms: Math.round(performance.now() - began) }
}

const tries: Record<Target['method'], (target: Target, timeoutMs: number, ping: string) => Promise<Outcome>> = { tcp: tryTcp, dns: tryDns, ping: tryPing }

/** All targets, some at a time, in their order. */
export async function attemptAll(targets: readonly Target[], options: AttemptOptions, atOnce = 32): Promise<Observation[]> {
  const observations: Observation[] = []
  const waiting = targets.entries()
  async function work(): Promise<void> {
    for (const [place, target] of waiting) observations[place] = await attempt(target, options)
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, targets.length) }, work))
  return observations
}

function tryTcp({ host, port }: Target, timeoutMs: number): Promise<Outcome> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    const settle = (outcome: Outcome): void => {
      clearTimeout(limit)
      socket.destroy()
      resolve(outcome)
    }
    const limit = setTimeout(() => settle({ result: 'silent', code: '' }), timeoutMs)
    socket.once('connect', () => settle({ result: 'reached', code: '' }))
    socket.on('error', (error) => settle(outcomeOf(error)))
  })
}

/** By two sockets: only one that is connected is told that it was refused, and only one that is not hears an answer that comes from another address. */
async function tryDns(target: Target, timeoutMs: number): Promise<Outcome> {
  const over = new AbortController()
  const outcomes = await Promise.all([true, false].map((connected) => askByUdp(target, timeoutMs, connected, over)))
  const told = outcomes.filter(({ result }) => result !== 'silent')
  return told.find(({ result }) => result === 'reached') ?? told[0] ?? { result: 'silent', code: '' }
}

function askByUdp({ host, port }: Target, timeoutMs: number, connected: boolean, over: AbortController): Promise<Outcome> {
  return new Promise((resolve) => {
    const socket = createSocket(isIP(host) === 6 ? 'udp6' : 'udp4')
    const id = randomInt(0x1_0000)
    let settled = false
    const settle = (outcome: Outcome): void => {
      if (settled) return
      settled = true
      clearTimeout(limit)
      clearInterval(again)
      socket.close()
      resolve(outcome)
      // What one has learnt, the other need not wait for.
      if (outcome.result !== 'silent') over.abort()
    }
    const told = (error: Error | null): void => void (error !== null && settle(outcomeOf(error)))
    const send = (): void => {
      // A local failure is told to the callback, one that comes back by ICMP by 'error'.
      if (settled) return
      if (connected) socket.send(rootQuestion(id), told)
      else socket.send(rootQuestion(id), port, host, told)
    }
    const limit = setTimeout(() => settle({ result: 'silent', code: '' }), timeoutMs)
    const again = setInterval(send, timeoutMs / datagrams)
    over.signal.addEventListener('abort', () => settle({ result: 'silent', code: '' }), { once: true })
    socket.on('error', (error) => settle(outcomeOf(error)))
    socket.on('message', (message) => {
      if (message.length > 1 && message.readUInt16BE(0) === id) settle({ result: 'reached', code: '' })
    })
    try {
      if (!connected) send()
      else socket.connect(port, host, (...failed: unknown[]) => (failed[0] instanceof Error ? settle(outcomeOf(failed[0])) : send()))
    } catch (thrown) {
      settle(outcomeOf(thrown))
    }
  })
}

/** NS of the root, recursion desired: any name server has an answer, and the question tells nobody anything. */
function rootQuestion(id: number): Buffer {
  const message = Buffer.alloc(17)
  message.writeUInt16BE(id, 0)
  message.writeUInt16BE(0x0100, 2)
  message.writeUInt16BE(1, 4)
  message.writeUInt16BE(2, 13)
  message.writeUInt16BE(1, 15)
  return message
}

function tryPing({ host }: Target, timeoutMs: number, ping: string): Promise<Outcome> {
  const seconds = String(Math.max(1, Math.round(timeoutMs / 1000)))
  // The first answer ends it (-c counts answers where -w is given); -i 0.5 is what any user may.
  const args = [isIP(host) === 6 ? '-6' : '-4', '-n', '-c', '1', '-i', '0.5', '-w', seconds, host]
  return new Promise((resolve) => {
    execFile(ping, args, { env: { ...process.env, LC_ALL: 'C' }, timeout: timeoutMs + 2000, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
      if (error === null) resolve(resultOfPing(0, stdout))
      else if (typeof error.code === 'string') resolve({ result: 'untried', code: error.code === 'ENOENT' ? 'no_ping' : 'ping_failed' })
      else resolve(resultOfPing(error.code ?? null, stdout + stderr))
    })
  })
}

function outcomeOf(error: unknown): Outcome {
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown'
  return { result: resultOfError(code), code }
}

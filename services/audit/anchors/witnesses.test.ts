import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openCheckpoint } from '../tlog/checkpoint.ts'
import { cosignatureVerifier } from '../tlog/cosignature.ts'
import { ed25519Verifier } from '../tlog/note.ts'
import { createWitness, type Witness, WitnessAlarmError } from './ask-witness.ts'
import { openCosigned } from './cosigned-file.ts'
import { createHttpServer } from './http-call.ts'
import { createGrowingLog, type GrowingLog, origin, Pauses } from './test-support/growing-log.ts'
import { startWitnessServer, type WitnessServer } from './test-support/witness-server.ts'
import { type Rounds, startWitnessRounds } from './witnesses.ts'

let log: GrowingLog
let servers: WitnessServer[]
let folder: string
let rounds: Rounds | undefined
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'audit-witness-'))
  log = createGrowingLog('a')
  servers = [await startWitnessServer('w.example/1', [log.vkey]), await startWitnessServer('w.example/2', [log.vkey])]
})
afterEach(async () => {
  await rounds?.close()
  rounds = undefined
  await Promise.all(servers.map((server) => server.close()))
  await rm(folder, { recursive: true })
})

const signal = new AbortController().signal

function clientOf({ vkey, url }: WitnessServer, source = log, timeoutMs = 10_000): Witness {
  const verifier = cosignatureVerifier(vkey)
  return createWitness({ name: verifier.name, keys: [verifier], server: createHttpServer({ url, ca: undefined, timeoutMs, maxAnswerBytes: 65_536 }), prefix: '/prefix', readTile: source.readTile })
}

async function alarmOf(cosigning: Promise<unknown>): Promise<string> {
  const thrown = await cosigning.catch((error: unknown) => error)
  return thrown instanceof WitnessAlarmError ? thrown.kind : `no alarm: ${String(thrown)}`
}

const keys = () => ({ origin, log: [ed25519Verifier(log.vkey)], witnesses: servers.map(({ vkey }) => cosignatureVerifier(vkey)) })

test('a witness cosigns as the log grows, also when it has not grown; a client that knows nothing asks for its size', async () => {
  const [server] = servers
  if (server === undefined) throw new Error('no witness')
  const client = clientOf(server)
  for (const size of [1, 5, 5, 300, 70_000]) expect(await client.cosign(log.checkpoint(size).note, signal)).toMatchObject([{ name: 'w.example/1' }])
  expect(server.asked).toEqual([0, 1, 5, 5, 300])
  const restarted = clientOf(server)
  expect(await restarted.cosign(log.checkpoint(70_001).note, signal)).toHaveLength(1)
  expect(server.asked.slice(5)).toEqual([0, 70_000])
  client.close()
  restarted.close()
})

test('a log that was set back, forked or damaged is an alarm', async () => {
  const [server] = servers
  if (server === undefined) throw new Error('no witness')
  const client = clientOf(server)
  await client.cosign(log.checkpoint(300).note, signal)
  const back = createGrowingLog('a', log)
  expect(await alarmOf(clientOf(server, back).cosign(back.checkpoint(299).note, signal))).toBe('log_behind')
  const fork = createGrowingLog('b', log)
  expect(await alarmOf(clientOf(server, fork).cosign(fork.checkpoint(300).note, signal))).toBe('other_log')
  expect(await alarmOf(clientOf(server, fork).cosign(fork.checkpoint(400).note, signal))).toBe('other_log')
  const damaged: GrowingLog = { ...log, readTile: async (level, index, width) => (await fork.readTile(level, index, width)) }
  expect(await alarmOf(clientOf(server, damaged).cosign(log.checkpoint(400).note, signal))).toBe('log_damaged')
  expect(await client.cosign(log.checkpoint(400).note, signal)).toHaveLength(1)
  client.close()
})

test('a witness that knows another log, answers nonsense, too much, or not at all is no alarm', async () => {
  const [server] = servers
  if (server === undefined) throw new Error('no witness')
  const client = clientOf(server, log, 300)
  const { note } = log.checkpoint(3)
  const stranger = createGrowingLog('a')
  await expect(client.cosign(stranger.checkpoint(3).note, signal)).rejects.toThrow(/knows this log by another key/)
  server.answer = (_request, response) => void response.end('nonsense\n')
  await expect(client.cosign(note, signal)).rejects.toThrow(/Its answer is not one/)
  server.answer = (_request, response) => void response.end('x'.repeat(100_000))
  await expect(client.cosign(note, signal)).rejects.toThrow(/longer than 65536 bytes/)
  server.answer = (_request, response) => void response.writeHead(302, { location: server.url }).end()
  await expect(client.cosign(note, signal)).rejects.toThrow(/status 302/)
  server.answer = () => undefined
  await expect(client.cosign(note, signal)).rejects.toThrow(/No answer within 0.3 seconds/)
  await server.close()
  await expect(client.cosign(note, signal)).rejects.toThrow(/could not be reached/)
  servers = servers.slice(1)
  client.close()
})

test('a wrong cosignature is not taken', async () => {
  const [one, two] = servers
  if (one === undefined || two === undefined) throw new Error('no witnesses')
  const impostor = clientOf({ ...two, url: one.url })
  await expect(impostor.cosign(log.checkpoint(3).note, signal)).rejects.toThrow(/none of the keys/)
  impostor.close()
})

test('rounds: the checkpoint carries the cosignatures of all that answer; one that is away holds up nobody; what was cosigned is kept over a restart', async () => {
  const pauses = new Pauses()
  const file = join(folder, 'cosigned.json')
  const cosigned = await openCosigned(file, keys())
  const published: string[] = []
  const told: string[] = []
  const metrics: string[] = []
  const tell = (level: string) => (_fields: unknown, text?: string) => void told.push(`${level}: ${text}`)
  let newest: { size: number; note: string } | undefined
  rounds = startWitnessRounds({
    witnesses: servers.map((server) => clientOf(server)),
    intervalMs: 5000,
    newest: () => Promise.resolve(newest),
    cosigned,
    onCosigned: async (note) => void published.push(note),
    log: { debug: tell('debug'), info: tell('info'), warn: tell('warn'), error: tell('error') },
    metrics: { cosigned: (name, { size }) => void metrics.push(`${name} ${size}`), failed: (name) => void metrics.push(`${name} failed`), alarm: (name) => void metrics.push(`${name} alarm`) },
    clock: () => 0,
    pause: pauses.pause,
  })
  await pauses.reached(2)
  expect(cosigned.of(0)).toBeUndefined()
  newest = log.checkpoint(300)
  await pauses.next(2)
  const all = (note: string | undefined): string[] => openCheckpoint(note ?? '', keys()).cosigned.map(({ name }) => name).toSorted()
  expect(all(cosigned.of(300))).toEqual(['w.example/1', 'w.example/2'])
  expect(published.at(-1)).toBe(cosigned.of(300))
  expect(metrics.toSorted()).toEqual(['w.example/1 300', 'w.example/2 300'])

  const [first] = servers
  if (first === undefined) throw new Error('no witness')
  first.answer = (_request, response) => void response.writeHead(503).end()
  newest = log.checkpoint(400)
  await pauses.next(2)
  expect(all(cosigned.of(301))).toEqual(['w.example/2'])
  expect(all(cosigned.of(300))).toEqual(['w.example/1', 'w.example/2'])
  expect(cosigned.of(401)).toBeUndefined()
  expect(told).toEqual(['warn: a witness did not cosign'])
  first.answer = (_request, response) => void response.writeHead(422).end()
  await pauses.next(2)
  expect(told.at(-1)).toBe('error: a witness says that the audit log is not the one that it knows')
  expect(metrics).toContain('w.example/1 alarm')
  first.answer = undefined
  await pauses.next(2)
  expect(told.at(-1)).toBe('info: a witness cosigns again')
  expect(all(cosigned.of(400))).toEqual(['w.example/1', 'w.example/2'])

  const reopened = await openCosigned(file, keys())
  expect(reopened.of(400)).toBe(cosigned.of(400))
  expect((await openCosigned(file, { ...keys(), log: [ed25519Verifier(createGrowingLog('x').vkey)] })).of(0)).toBeUndefined()
})

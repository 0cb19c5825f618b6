import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openCheckpoint, signCheckpoint } from '../../services/audit/tlog/checkpoint.ts'
import { cosignatureVerifier } from '../../services/audit/tlog/cosignature.ts'
import { edgeRoot, emptyEdge, extendEdge } from '../../services/audit/tlog/edge.ts'
import { emptyRoot, leafHashes } from '../../services/audit/tlog/merkle.ts'
import { ed25519Signer, ed25519Verifier, type NoteVerifier } from '../../services/audit/tlog/note.ts'
import { makeNoteKey } from '../../services/audit/tlog/note-key.ts'
import { proveConsistency } from '../../services/audit/tlog/proofs.ts'
import { createWitness, type Witness } from '../../services/audit/anchors/ask-witness.ts'
import { createHttpServer } from '../../services/audit/anchors/http-call.ts'
import { addCheckpointPath, type AddCheckpoint, addSignatures, formatAddCheckpoint, readAnswer, type WitnessAnswer } from '../../services/audit/tlog/witness.ts'
import { type OutsideTools, outsideTools } from '../support/outside-tools.ts'

const origin = 'ledger.hospital.example/audit'
const key = makeNoteKey(origin)
const leaves = leafHashes(Array.from({ length: 200 }, (_, index) => Buffer.from(`record ${index}`)))
const children: ChildProcess[] = []
let tools: OutsideTools
let folder: string
let url: string
let witness: NoteVerifier

/** litewitness takes its key from an SSH agent and knows the logs that stand in its database. */
beforeAll(async () => {
  tools = await outsideTools()
  folder = await mkdtemp(join(tmpdir(), 'outside-witness-'))
  const socket = join(folder, 'agent')
  const agent = spawn(tools.outsidePath, ['agent', socket], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(agent)
  const fingerprint = JSON.parse(await lineOf(agent.stdout, /^"/)) as string
  const port = await freePort()
  const database = join(folder, 'witness.db')
  const child = spawn(tools.litewitness, ['-name', 'witness.example/w1', '-db', database, '-ssh-agent', socket, '-key', fingerprint, '-listen', `127.0.0.1:${port}`], { stdio: ['ignore', 'ignore', 'pipe'] })
  children.push(child)
  const vkey = /vkey=(\S+)/.exec(await lineOf(child.stderr, /vkey=/))?.[1] ?? ''
  const db = new DatabaseSync(database)
  db.prepare('INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)').run(origin, emptyRoot().toString('base64'))
  db.prepare('INSERT INTO key (origin, key) VALUES (?, ?)').run(origin, key.vkey)
  db.close()
  witness = cosignatureVerifier(vkey)
  url = `http://127.0.0.1:${port}/${addCheckpointPath}`
  await untilItListens(port)
})
afterAll(async () => {
  for (const child of children) {
    if (child.exitCode === null && child.kill('SIGKILL')) await once(child, 'exit')
  }
  await rm(folder, { recursive: true })
})

async function lineOf(stream: Readable, wanted: RegExp): Promise<string> {
  const lines = createInterface({ input: stream })
  for await (const line of lines) if (wanted.test(line)) return line
  throw new Error('the program ended before it was ready')
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function untilItListens(port: number): Promise<void> {
  for (const end = Date.now() + 30_000; ; ) {
    try {
      await fetch(`http://127.0.0.1:${port}/`)
      return
    } catch (error) {
      if (Date.now() > end) throw error
    }
  }
}

function checkpointOf(size: number, hashes = leaves): string {
  return signCheckpoint({ origin, size, root: edgeRoot(extendEdge(emptyEdge, hashes.subarray(0, size * 32)).edge) }, [ed25519Signer(key.skey)])
}

async function ask(oldSize: number, size: number, changed: Partial<AddCheckpoint> = {}): Promise<{ answer: WitnessAnswer; checkpoint: string }> {
  const proof = await proveConsistency(oldSize, size, async (_level, _index, width) => leaves.subarray(0, width * 32))
  const request = { oldSize, proof, checkpoint: checkpointOf(size), ...changed }
  const response = await fetch(url, { method: 'POST', body: formatAddCheckpoint(request) })
  const body = new Uint8Array(await response.arrayBuffer())
  return { answer: readAnswer({ status: response.status, contentType: response.headers.get('content-type') ?? undefined, body }, request, [witness]), checkpoint: request.checkpoint }
}

test('a witness of others cosigns our log as it grows, and nothing that does not go on from what it saw', async () => {
  const keys = { origin, log: [ed25519Verifier(key.vkey)], witnesses: [witness] }
  for (const [from, to] of [[0, 5], [5, 64], [64, 64], [64, 199]] as const) {
    const { answer, checkpoint } = await ask(from, to)
    if (answer.kind !== 'cosigned') throw new Error(`from ${from} to ${to}: ${JSON.stringify(answer)}`)
    const cosigned = openCheckpoint(addSignatures(checkpoint, answer.signatures), keys)
    expect(cosigned).toMatchObject({ size: to, cosigned: [{ name: 'witness.example/w1' }] })
    expect(Math.abs((cosigned.cosigned[0]?.at ?? 0) - Date.now() / 1000)).toBeLessThan(60)
  }
  expect((await ask(0, 200)).answer).toEqual({ kind: 'other_size', size: 199 })
  expect((await ask(64, 200)).answer).toEqual({ kind: 'other_size', size: 199 })
  expect((await ask(199, 200, { proof: [Buffer.alloc(32)] })).answer).toMatchObject({ kind: 'refused', reason: 'bad_proof' })
  const stranger = signCheckpoint({ origin, size: 200, root: Buffer.alloc(32) }, [ed25519Signer(makeNoteKey(origin).skey)])
  expect((await ask(199, 200, { checkpoint: stranger })).answer).toMatchObject({ kind: 'refused', reason: 'unknown_key' })
  const ofAnother = signCheckpoint({ origin: 'another.example', size: 200, root: Buffer.alloc(32) }, [ed25519Signer(key.skey)])
  expect((await ask(199, 200, { checkpoint: ofAnother })).answer).toMatchObject({ kind: 'refused', reason: 'unknown_log' })
  // Another log of the same name and key: what a fork would send.
  const other = leafHashes(Array.from({ length: 200 }, (_, index) => Buffer.from(`another record ${index}`)))
  expect((await ask(199, 199, { checkpoint: checkpointOf(199, other) })).answer).not.toMatchObject({ kind: 'cosigned' })
  expect((await ask(199, 200)).answer).toMatchObject({ kind: 'cosigned' })
})

test("the service's own client asks it for what it has seen, goes on from there, and knows a log that was set back or forked", async () => {
  const client = (hashes: Buffer): Witness =>
    createWitness({ name: witness.name, keys: [witness], server: createHttpServer({ url, ca: undefined, timeoutMs: 10_000, maxAnswerBytes: 65_536 }), prefix: '', readTile: async (_level, _index, width) => hashes.subarray(0, width * 32) })
  const { signal } = new AbortController()
  const ours = client(leaves)
  for (const size of [200, 200]) expect(await ours.cosign(checkpointOf(size), signal)).toMatchObject([{ name: 'witness.example/w1' }])
  await expect(client(leaves).cosign(checkpointOf(150), signal)).rejects.toMatchObject({ kind: 'log_behind' })
  const other = leafHashes(Array.from({ length: 250 }, (_, index) => Buffer.from(`another record ${index}`)))
  await expect(client(other).cosign(checkpointOf(200, other), signal)).rejects.toMatchObject({ kind: 'other_log' })
  await expect(client(other).cosign(checkpointOf(220, other), signal)).rejects.toMatchObject({ kind: 'other_log' })
  ours.close()
})

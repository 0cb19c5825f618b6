import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startWitnessServer, type WitnessServer } from '../../services/audit/anchors/test-support/witness-server.ts'
import { openCheckpoint } from '../../services/audit/tlog/checkpoint.ts'
import { cosignatureVerifier } from '../../services/audit/tlog/cosignature.ts'
import { ed25519Verifier } from '../../services/audit/tlog/note.ts'
import { verifyFolder } from '../../services/audit/verify/verify-folder.ts'
import { chatBody, send } from '../support/client.ts'
import { type Platform, startPlatform, until } from '../support/platform.ts'

let worm: string
let witness: WitnessServer
let platform: Platform
let vkey: string
beforeAll(async () => {
  worm = await mkdtemp(join(tmpdir(), 'intramuros-worm-'))
  witness = await startWitnessServer('w.example/1', [])
  const audit = { witnessSeconds: 1, witnesses: [{ vkey: witness.vkey, url: witness.url }], anchors: [{ name: 'worm', kind: 'folder', folder: worm, everySeconds: 1 }] }
  platform = await startPlatform({ sections: { audit } })
  const keyFile = (await readdir(platform.home, { recursive: true })).find((name) => name.endsWith('log.pub'))
  vkey = (await readFile(join(platform.home, keyFile ?? ''), 'utf8')).trim()
})
afterAll(async () => {
  await platform.stop()
  await witness.close()
  await rm(worm, { recursive: true })
})

const metric = async (name: string): Promise<number> => {
  const text = await (await fetch(`${platform.monitor('audit')}/metrics`)).text()
  return Number(new RegExp(`^intramuros_audit_${name}\\{[^}]*\\} (\\S+)$`, 'm').exec(text)?.[1])
}

test('a witness that does not know the log yet, and hangs, holds up nobody; once it does, checkpoints and receipts carry its cosignature, and the copies hold', async () => {
  await until(() => platform.output().includes('It does not know this log'), 'the witness to refuse')
  expect(await metric('witness_failures_total')).toBeGreaterThan(0)
  witness.answer = () => undefined
  const started = performance.now()
  const reply = await send(platform, chatBody(platform))
  expect(reply.status).toBe(200)
  expect(performance.now() - started).toBeLessThan(10_000)

  witness.learn(vkey)
  witness.answer = undefined
  const keys = { origin: ed25519Verifier(vkey).name, log: [ed25519Verifier(vkey)], witnesses: [cosignatureVerifier(witness.vkey)] }
  const cosigned = async (): Promise<number> => openCheckpoint(await readFile(join(platform.home, 'audit/checkpoint'), 'utf8'), keys).cosigned.length
  await until(async () => (await cosigned()) === 1, 'the published checkpoint to be cosigned', 40_000)
  const receipt = async (): Promise<string> => (await send(platform, undefined, { method: 'GET', path: `/v1/receipts/${String(reply.headers['x-request-id'])}` })).text
  // The one that was cosigned first may be of before the request's end.
  await until(async () => (await receipt()).includes('\n— w.example/1 '), 'the receipt to carry the cosignature')
  await until(async () => (await metric('anchor_size')) === (await metric('witness_size')), 'the newest checkpoint to be copied')
  expect((await readdir(worm)).length).toBeGreaterThan(0)
  expect(await verifyFolder(join(platform.home, 'audit'), { vkey, checkpoints: worm })).toMatchObject({ ok: true, heldAgainst: (await readdir(worm)).length })
  expect(await metric('witness_alarms_total')).toBe(0)
  expect(await metric('witness_age_seconds')).toBeLessThan(30)
  expect(await platform.drain('audit', 5000)).toBe(0)
})

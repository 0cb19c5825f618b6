import { expect, test } from 'vitest'
import { createReceipts } from './receipts.ts'
import { KeyError, verifyReceipt } from './verify-receipt.ts'
import { decodeRecord } from './records/record.ts'
import { beginOf, endOf } from './test-support/example-records.ts'
import { createMemoryLog } from './test-support/memory-log.ts'
import { signCheckpoint } from './tlog/checkpoint.ts'
import { ed25519Signer, ed25519Verifier, UnverifiedError } from './tlog/note.ts'
import { makeNoteKey } from './tlog/note-key.ts'
import { parseTlogProof, verifyTlogProof } from './tlog/tlog-proof.ts'

const origin = 'ledger.example'
const { skey, vkey } = makeNoteKey(origin)

async function bench(requests: number) {
  const log = createMemoryLog()
  for (let at = 0; at < requests; at += 1) await log.append([beginOf(`r${at}`), endOf(`r${at}`)])
  await log.append([beginOf('running')])
  const asked: number[] = []
  const receipts = createReceipts({
    async findRequest(id) {
      if (id === 'running') return { team: 'default', begin: requests * 2 }
      const number = Number(id.slice(1))
      return number < requests ? { team: 'default', begin: number * 2, end: number * 2 + 1 } : undefined
    },
    store: log.store,
    async checkpointOf(size) {
      asked.push(size)
      return signCheckpoint({ ...(await log.store.head()), origin }, [ed25519Signer(skey)])
    },
  })
  return { log, receipts, asked }
}

test.each([1, 7, 300])('each of %i requests has a receipt that stands alone', async (requests) => {
  const { receipts, asked } = await bench(requests)
  for (const id of ['r0', `r${requests - 1}`, `r${Math.floor(requests / 2)}`]) {
    const proof = parseTlogProof(await receipts.receiptOf(id, 'default'))
    const record = proof.extra ?? new Uint8Array()
    expect(decodeRecord(record)).toMatchObject({ type: 'request.end', requestId: id })
    expect(asked.at(-1)).toBe(proof.index + 1)
    const keys = { origin, log: [ed25519Verifier(vkey)] }
    expect(verifyTlogProof(proof, record, keys).size).toBe(requests * 2 + 1)
    expect(() => verifyTlogProof(proof, Buffer.from(record).fill('7', 60, 61), keys)).toThrow(UnverifiedError)
  }
  const running = parseTlogProof(await receipts.receiptOf('running', 'default'))
  expect(decodeRecord(running.extra ?? new Uint8Array())).toMatchObject({ type: 'request.begin', requestId: 'running' })
})

test('what is not there, not theirs or pruned reads the same', async () => {
  const { log, receipts } = await bench(2)
  await log.store.prune([3])
  const refusals = await Promise.all(
    ([['r0', 'other'], ['r9', 'default'], ['r1', 'default']] as const).map(([id, team]) => receipts.receiptOf(id, team).catch((thrown: unknown) => thrown)),
  )
  for (const refusal of refusals) expect(refusal).toMatchObject({ code: 'NOT_FOUND', reason: 'receipt_not_found' })
  expect(new Set(refusals.map(String)).size).toBe(1)
})

test('a receipt is checked by whoever has it and the key, and no other text passes', async () => {
  const { receipts } = await bench(20)
  const receipt = await receipts.receiptOf('r5', 'default')
  expect(verifyReceipt(receipt, vkey)).toMatchObject({ ok: true, origin, index: 11, size: 41, record: { type: 'request.end', requestId: 'r5', team: 'default' } })
  expect(verifyReceipt(receipt, makeNoteKey(origin).vkey)).toMatchObject({ ok: false, kind: 'signature' })
  expect(verifyReceipt(receipt.replace('index 11', 'index 10'), vkey)).toMatchObject({ ok: false, kind: 'proof' })
  expect(verifyReceipt(receipt.replace(/^extra .*\n/m, ''), vkey)).toMatchObject({ ok: false, kind: 'record' })
  expect(verifyReceipt('', vkey)).toMatchObject({ ok: false, kind: 'malformed' })
  expect(() => verifyReceipt(receipt, 'key')).toThrow(KeyError)
  // Every character counts, but for what says nothing: the signature's own key id in hex and the text behind the last newline.
  const other = receipt.replace(/[A-Za-z0-9]/g, (letter) => (letter === 'A' ? 'B' : 'A'))
  for (let at = 0; at < receipt.length; at += 7) {
    const changed = `${receipt.slice(0, at)}${receipt[at] === '\n' ? ' ' : (other[at] ?? '')}${receipt.slice(at + 1)}`
    if (changed !== receipt) expect(verifyReceipt(changed, vkey), `changed at ${at}`).toMatchObject({ ok: false })
  }
})

test('a check of the walls is proven by its place, and nothing else is', async () => {
  const { log, receipts } = await bench(3)
  await log.append([{ type: 'isolation.checked', instance: 'x', outcome: 'held', compared: 'first', components: ['gateway'], attempts: 1, violations: 0, broken: 0, untried: 0, report: 'ab'.repeat(32), problems: [] }])
  const result = verifyReceipt(await receipts.isolationProof(7), vkey)
  expect(result).toMatchObject({ ok: true, index: 7, record: { type: 'isolation.checked', outcome: 'held' } })
  for (const index of [0, 1, 6, 8, 2 ** 60]) await expect(receipts.isolationProof(index)).rejects.toMatchObject({ code: 'NOT_FOUND', reason: 'receipt_not_found' })
})

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { KeepContentRequest } from '../../../proto/gen/intramuros/v1/audit.ts'
import { ContentPart } from '../../../proto/gen/intramuros/v1/content.ts'
import { openContent } from '../../shared/content/open-content.ts'
import { pieceBytes } from '../../shared/content/seal.ts'
import { createTeamKey, readTeamKeyOf, removeTeamKey } from '../../shared/content/team-key.ts'
import { ServiceError } from '../../shared/errors.ts'
import type { LaneClient } from '../../shared/rpc/lane-client.ts'
import { createDataKeys, type DataKeys } from './data-keys.ts'
import { createKeepContent, type KeptContent } from './keep-content.ts'

const requestId = '11111111-2222-3333-4444-555555555555'
let folder: string
let keyId: string
let dataKeys: DataKeys
const none = (): void => undefined
const log = { debug: none, info: none, warn: none, error: none }
/** What the ledger got. */
let sent: KeepContentRequest[]
/** Called for each piece before it is taken. */
let take: (request: KeepContentRequest) => Promise<void>

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keep-content-'))
  keyId = (await createTeamKey(folder, 'hr-1')).id
  dataKeys = createDataKeys({ folder, clock: Date.now, log })
  sent = []
  take = () => Promise.resolve()
})
afterEach(async () => {
  dataKeys.close()
  await rm(folder, { recursive: true, force: true })
})

function begin(prompt: string | Buffer): KeptContent {
  const unary = async (_: unknown, request: KeepContentRequest): Promise<object> => {
    await take(request)
    sent.push(request)
    return {}
  }
  return createKeepContent({ audit: { unary: unary as LaneClient['unary'] }, dataKeys, log }).begin({ teamId: 'hr@abc', keyId, requestId, prompt: Buffer.from(prompt) })
}

function opened() {
  return openContent(sent.flatMap(({ piece }) => piece ?? []), { team: 'hr', requestId, keyOf: (id) => readTeamKeyOf(folder, id) })
}

test('however an answer comes, its pieces are opened to the same, and told with its length and fingerprint', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(3 * pieceBytes), fc.array(fc.nat(2 * pieceBytes), { maxLength: 5 }), async (promptLength, lengths) => {
      sent = []
      const kept = begin('p'.repeat(promptLength))
      const texts = lengths.map((length, index) => String(index % 10).repeat(length))
      await kept.prompt
      for (const text of texts) await kept.answer(text)
      await kept.end()
      const { prompt, answer } = await opened()
      expect([prompt.bytes.toString() === 'p'.repeat(promptLength), answer.bytes.toString() === texts.join(''), prompt.whole, answer.whole]).toEqual([true, true, true, true])
      const last = sent.filter(({ piece }) => piece?.final)
      expect(last.map(({ bytes, fingerprint }) => [Number(bytes), Buffer.from(fingerprint).toString('hex')])).toEqual([prompt, answer].map(({ bytes, fingerprint }) => [bytes.length, fingerprint]))
      expect(sent.every(({ piece }) => (piece?.sealed.length ?? 0) <= pieceBytes + 28)).toBe(true)
    }),
    { numRuns: 30 },
  )
})

test('the end waits for the pieces before it, and is one however often it is asked for', async () => {
  const held = Promise.withResolvers<void>()
  take = ({ piece }) => (piece?.part === ContentPart.ANSWER ? held.promise : Promise.resolve())
  const kept = begin('p')
  await kept.prompt
  expect(kept.answer('short')).toBeUndefined()
  const wait = kept.answer('x'.repeat(pieceBytes))
  let over = false
  const ended = Promise.all([wait, kept.end(), kept.end()]).then(() => (over = true))
  await new Promise((resolve) => setImmediate(resolve))
  expect([over, sent.length]).toEqual([false, 1])
  held.resolve()
  await ended
  expect(sent).toHaveLength(3)
})

test('once a piece could not be kept, none follows it, and all that wait are told', async () => {
  const failing = new ServiceError('UNAVAILABLE', 'peer_lost', 'lost')
  take = ({ piece }) => (piece?.part === ContentPart.ANSWER && piece.sequence === 1 ? Promise.reject(failing) : Promise.resolve())
  const kept = begin('p')
  await kept.answer('x'.repeat(pieceBytes))
  await expect(kept.answer('y'.repeat(pieceBytes))).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'content_unavailable' })
  take = () => Promise.resolve()
  await expect(kept.answer('z'.repeat(pieceBytes))).rejects.toMatchObject({ reason: 'content_unavailable' })
  await expect(kept.end()).rejects.toMatchObject({ reason: 'content_unavailable' })
  expect(sent).toHaveLength(2)
  expect((await opened()).answer).toMatchObject({ whole: false, pieces: 1 })
})

test('without its key nothing is sent; a prompt that is not kept leaves no answer kept', async () => {
  await removeTeamKey(folder, 'hr-1')
  const kept = begin('p')
  await expect(kept.prompt).rejects.toMatchObject({ reason: 'content_unavailable' })
  expect(kept.answer('text')).toBeUndefined()
  await expect(kept.end()).rejects.toMatchObject({ reason: 'content_unavailable' })
  expect(sent).toEqual([])
})

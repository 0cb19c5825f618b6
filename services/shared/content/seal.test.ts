import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ContentPart, type SealedPiece } from '../../../proto/gen/intramuros/v1/content.ts'
import { type OpenedContent, openContent } from './open-content.ts'
import { type DataKey, newDataKey, sealPiece } from './seal.ts'
import type { TeamKey } from './team-key.ts'

const requestId = '11111111-2222-3333-4444-555555555555'
const teamKey: TeamKey = { id: 'hr-2026.0123456789abcdef', bytes: randomBytes(32) }
const dataKey = newDataKey(teamKey, { teamId: 'hr@mbxk2w40', day: '2026-11-23' })
const { PROMPT, ANSWER } = ContentPart

function sealed(prompt: readonly string[], answer: readonly string[], of = requestId, key: DataKey = dataKey): SealedPiece[] {
  const part = (texts: readonly string[], which: typeof PROMPT | typeof ANSWER) =>
    texts.map((text, sequence) => sealPiece(key, { requestId: of, part: which, sequence, final: sequence === texts.length - 1 }, Buffer.from(text)))
  return [...part(prompt, PROMPT), ...part(answer, ANSWER)]
}

function opened(pieces: readonly SealedPiece[], { key = teamKey, team = 'hr', id = requestId } = {}): Promise<OpenedContent> {
  return openContent(pieces, { team, requestId: id, keyOf: () => Promise.resolve(key) })
}

test('what was sealed is opened again, with the pieces of prompt and answer mixed', async () => {
  const texts = fc.array(fc.string({ unit: 'binary' }), { minLength: 1, maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(texts, texts, async (prompt, answer) => {
      const { prompt: one, answer: other } = await opened(sealed(prompt, answer))
      expect([one.bytes.toString(), other.bytes.toString(), one.whole, other.whole]).toEqual([Buffer.from(prompt.join('')).toString(), Buffer.from(answer.join('')).toString(), true, true])
    }),
    { numRuns: 50 },
  )
})

test('a piece that was changed in any field, or in any bit, is refused', async () => {
  const pieces = sealed(['a prompt', 'of two'], ['an answer'])
  const changes: Partial<SealedPiece>[] = [
    { teamId: 'hr@mbxk2w41' }, { requestId: requestId.replace('1', '2') }, { part: ANSWER }, { sequence: 1 }, { final: true }, { keyId: 'hr-2027.0123456789abcdef' }, { day: '2026-11-24' },
  ]
  for (const change of changes) await expect(opened([{ ...pieces[0], ...change } as SealedPiece, ...pieces.slice(1)])).rejects.toThrow(/Piece|data key/)
  await fc.assert(
    fc.asyncProperty(fc.nat(pieces.length - 1), fc.constantFrom('wrappedKey' as const, 'sealed' as const), fc.nat(), fc.nat(7), async (at, field, place, bit) => {
      const piece = pieces[at]
      if (piece === undefined) return
      const bytes = Buffer.from(piece[field])
      bytes[place % bytes.length] = (bytes[place % bytes.length] ?? 0) ^ (1 << bit)
      const changed = pieces.with(at, { ...piece, [field]: bytes })
      await expect(opened(changed)).rejects.toThrow(/Piece|data key/)
    }),
    { numRuns: 300 },
  )
})

test('pieces that are removed, repeated, swapped or of another request or team are refused, or the end is missed', async () => {
  const pieces = sealed(['0', '1', '2'], ['a', 'b'])
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(pieces.length - 1), { minLength: 1, maxLength: 6 }), async (order) => {
      const chosen = order.flatMap((at) => pieces[at] ?? [])
      const result = await opened(chosen).catch(() => undefined)
      if (result === undefined || !result.prompt.whole || !result.answer.whole) return
      // Only the order between the two parts may be another.
      expect(`${result.prompt.bytes.toString()}|${result.answer.bytes.toString()}`).toBe('012|ab')
    }),
    { numRuns: 500 },
  )
  const other = requestId.replaceAll('1', '9')
  const moved = sealed(['9', '9', '9'], ['x', 'y'], other)
  for (const at of pieces.keys()) {
    const foreign = moved[at]
    if (foreign === undefined) throw new Error('no piece')
    await expect(opened(pieces.with(at, foreign))).rejects.toThrow('of another request')
    await expect(opened(pieces.with(at, { ...foreign, requestId }))).rejects.toThrow('was changed')
    await expect(opened(pieces.with(at, { ...foreign, requestId, teamId: 'hr@0' }))).rejects.toThrow(/another request|data key/)
  }
  await expect(opened(pieces, { team: 'finance' })).rejects.toThrow('of another team')
  await expect(opened(moved)).rejects.toThrow('of another request')
  // The name of a removed team, given to another one.
  const namesake = sealed(['p'], ['a'], requestId, newDataKey(teamKey, { teamId: 'hr@zzzzzzzz', day: '2026-11-23' }))
  await expect(opened(namesake.map((piece) => ({ ...piece, teamId: 'hr@mbxk2w40' })))).rejects.toThrow('data key')
})

test('without the very key nothing is opened, and ciphertexts and fingerprints of the same text differ', async () => {
  const pieces = sealed(['same'], ['same'])
  await expect(opened(pieces, { key: { id: teamKey.id, bytes: randomBytes(32) } })).rejects.toThrow('data key')
  const again = sealed(['same'], ['same'])
  expect(new Set([...pieces, ...again].map((piece) => Buffer.from(piece.sealed).toString('hex'))).size).toBe(4)
  const one = await opened(pieces)
  const id = requestId.replaceAll('1', '7')
  const two = await opened(sealed(['same'], ['same'], id), { id })
  expect(new Set([one.prompt.fingerprint, one.answer.fingerprint, two.prompt.fingerprint]).size).toBe(3)
  expect((await opened(again)).prompt.fingerprint).toBe(one.prompt.fingerprint)
})

import { describe, expect, test } from 'vitest'
import { generateRequest } from '../../test/support/generate-request.ts'
import { greedySampling } from '../../test/support/real-worker.ts'
import { createAnswer } from './answer.ts'
import { createConstraints } from './constraints.ts'
import type { DecodedToken, RemoteEnd, RemoteEngine, RemoteRequest } from './engines/engine.ts'
import { decodeRemotely } from './remote-decode.ts'

/** Tokens are bytes; 256 ends a turn. */
const end = 256
const forever = new AbortController().signal

/** A model that would say `wants`, and whose next token, where that one is masked, is the first that is not. */
function scripted(wants: string, obeys = true): { engine: RemoteEngine; requests: RemoteRequest[] } {
  const requests: RemoteRequest[] = []
  const text = (token: number): Uint8Array => (token < end ? Uint8Array.of(token) : new Uint8Array(0))
  const engine: RemoteEngine = {
    kind: 'remote',
    model: 'm',
    contextLength: 1000,
    slots: 1,
    vocabularySize: end + 1,
    texts: { text, spelling: text, addsSpace: false },
    endTokens: [end],
    isEndOfGeneration: (token) => token === end,
    async *complete(request) {
      requests.push({ ...request, forbidden: request.forbidden?.slice() })
      const answer = [...Buffer.from(wants), end]
      const from = request.tokens.length - 1
      for (let count = 0; count < request.maxTokens; count += 1) {
        const wanted = answer[from + count] ?? end
        const token = obeys && request.forbidden?.[wanted] === 1 ? request.forbidden.indexOf(0) : wanted
        yield { token, logprobs: undefined }
        if (token === end) {
          yield { ended: 'turn', untold: 0, cachedTokens: undefined }
          return
        }
      }
      yield { ended: 'limit', untold: 0, cachedTokens: undefined }
    },
    held: () => 0,
    check: async () => {},
    stepMs: () => 0,
    close: async () => {},
  }
  return { engine, requests }
}

async function answerOf(engine: RemoteEngine, fields: Parameters<typeof generateRequest>[0]): Promise<string> {
  const request = generateRequest({ model: 'm', tokens: [1], maxTokens: 40, ...fields })
  const answer = createAnswer(engine.texts, request, createConstraints(engine).create(request))
  const items: AsyncIterable<DecodedToken | RemoteEnd> = decodeRemotely({ engine, slot: 0, request, sampling: greedySampling, guide: answer.guide }, forever)
  let text = ''
  let count = 0
  for await (const item of items) {
    if ('ended' in item) break
    count += 1
    const last = engine.isEndOfGeneration(item.token) ? 'turn' : count >= request.maxTokens ? 'limit' : undefined
    text += answer.push(item, last).delta?.text ?? ''
    if (last !== undefined) break
  }
  return text
}

describe('an answer from another process', () => {
  test('is one completion, where nobody has a say in it', async () => {
    const { engine, requests } = scripted('hello')
    expect(await answerOf(engine, {})).toBe('hello')
    expect(requests).toMatchObject([{ tokens: [1], maxTokens: 40, forbidden: undefined, team: 'default', slot: 0 }])
  })

  test('is one completion, where model and grammar agree', async () => {
    const { engine, requests } = scripted('[12,3]')
    expect(await answerOf(engine, { constraint: { grammar: 'root ::= "[" [0-9]+ ("," [0-9]+)* "]"', after: [] } })).toBe('[12,3]')
    expect(requests).toHaveLength(1)
  })

  test('goes on behind a token that is masked, with what is left of its length and another seed', async () => {
    const { engine, requests } = scripted('a?c')
    expect(await answerOf(engine, { constraint: { grammar: 'root ::= "abc"', after: [] } })).toBe('abc')
    expect(requests.map(({ tokens, maxTokens, sampling }) => [tokens.length, maxTokens, sampling.seed])).toEqual([
      [1, 40, 1],
      [2, 1, 2],
      [3, 38, 3],
    ])
    expect([...(requests[1]?.forbidden ?? [])].flatMap((is, token) => (is === 0 ? [token] : []))).toEqual([98])
  })

  test('does not end where its grammar does not, and ends where that does', async () => {
    expect(await answerOf(scripted('a').engine, { constraint: { grammar: 'root ::= "abc"', after: [] } })).toBe('abc')
    expect(await answerOf(scripted('abcdef').engine, { constraint: { grammar: 'root ::= "abc"', after: [] } })).toBe('abc')
  })

  test('is free until the text comes after which its grammar holds', async () => {
    const { engine, requests } = scripted('so: <call>x</call>')
    expect(await answerOf(engine, { constraint: { grammar: 'root ::= "y</call>"', after: ['<call>'] } })).toBe('so: <call>y</call>')
    expect(requests).toHaveLength(3)
  })

  test('is an error when the server does not heed the mask', async () => {
    const answer = answerOf(scripted('xyz', false).engine, { constraint: { grammar: 'root ::= "abc"', after: [] } })
    await expect(answer).rejects.toMatchObject({ code: 'INTERNAL', reason: 'grammar_failed' })
  })

  test('reasons no longer than it may, and goes on', async () => {
    const { engine, requests } = scripted('abcdefgh!')
    const endTokens = [...Buffer.from('</t>')]
    expect(await answerOf(engine, { reasoningBudget: { tokens: 3, begin: '', end: '</t>', endTokens } })).toBe('abc</t>h!')
    expect(requests.map(({ tokens }) => tokens.length)).toEqual([1, 8])
  })

  test('has a limit that masks and forced tokens count against', async () => {
    const constraint = { grammar: 'root ::= [a-z]+', after: [] }
    expect(await answerOf(scripted('a1b2c3').engine, { maxTokens: 4, constraint })).toHaveLength(4)
  })
})

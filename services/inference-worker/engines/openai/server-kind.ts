import { randomUUID } from 'node:crypto'
import type { DecodedToken, RemoteEnd, RemoteRequest } from '../engine.ts'
import type { TokenSplitter } from './token-splitter.ts'
import type { TokenTexts } from '../../../shared/vocabulary/token-texts.ts'
import type { HttpClient } from './http-client.ts'

export const serverKinds = ['vllm', 'sglang', 'llama-server'] as const
export type ServerKindName = (typeof serverKinds)[number]

/** What a server says it serves. */
export interface ServedModel {
  /** The model's name there. */
  name: string
  /** Longest prompt and answer together. */
  contextLength: number
  /** Requests that it works on at once; undefined when it does not tell. */
  slots: number | undefined
  /** Undefined when it does not tell. */
  vocabularySize: number | undefined
}

/** How the prompts of teams are kept apart in the server's cache, as it turned out when that was tried. */
export interface Isolation {
  /** True: what one team's prompt has left serves that team's next one. */
  reuse: boolean
  /** Why there is none, for the log. */
  why: string | undefined
}

export interface Completion {
  path: string
  body: unknown
  /** Reads one event of the answer, or all of it where it is none of events. Throws UpstreamError malformed. */
  read(event: unknown): readonly (DecodedToken | RemoteEnd)[]
}

/** What differs from one kind of server to another. */
export interface ServerKind {
  readonly name: ServerKindName
  /** Answers at once as long as the server is well. */
  readonly healthPath: string
  /** Names of the gauges of /metrics. */
  readonly gauges: { running: string; waiting: string }
  /** Asks what is served as this name; with an empty one, what is served if that is one model. Throws UpstreamError. */
  describe(http: HttpClient, name: string, signal: AbortSignal): Promise<ServedModel>
  /** What one token is as text, there. */
  detokenise(http: HttpClient, model: ServedModel, token: number, signal: AbortSignal): Promise<string>
  /**
   * Tries out that no prompt of one team serves another team. Throws IsolationError when one does, which no setting of a request can help.
   */
  isolate(http: HttpClient, model: ServedModel, signal: AbortSignal): Promise<Isolation>
  complete(request: RemoteRequest, model: ServedModel): Completion
  /** How many tokens of its last request the slot holds; 0 where slots hold nothing, or it is not certain. */
  held(slot: number): number
}

export interface KindOptions {
  texts: TokenTexts
  splitter: TokenSplitter
  vocabularySize: number
  endTokens: readonly number[]
  /** Unguessable, and the same for a team as long as this process lives. */
  saltOf(team: string): string
}

/** The server would serve one team what another team's prompts have left. */
export class IsolationError extends Error {
  override readonly name = 'IsolationError'
}

/** Has the same prompt evaluated for a team twice, then for another one; `cachedOf` says how much of it was not, where the server tells. */
export async function tryIsolation(server: string, cachedOf: (team: string) => Promise<number | undefined>): Promise<Isolation> {
  // New ones each time: the server may hold what an earlier trial left. No team's name begins like that.
  const [one, other] = [`\0${randomUUID()}`, `\0${randomUUID()}`]
  await cachedOf(one)
  const own = await cachedOf(one)
  const others = await cachedOf(other)
  if (others !== undefined && others > 0) {
    throw new IsolationError(`${server} serves one team what another has left in its cache: it does not know cache_salt. Use a newer one, or start it without prefix caching.`)
  }
  if (own === undefined || others === undefined) return { reuse: true, why: `${server} does not tell how much of a prompt was cached, so that its cache_salt could not be tried out` }
  return { reuse: own > 0, why: own > 0 ? undefined : `${server} did not reuse a prompt that came twice` }
}

/** What OpenAI's API tells of a token that is too unlikely to say how much. */
export const leastLogprob = -9999

/** Tokens of ordinary text, to try things out with: `count` of them, others for each `seed`. */
export function sampleTokens({ texts, vocabularySize }: Pick<KindOptions, 'texts' | 'vocabularySize'>, count: number, seed: number): number[] {
  const tokens: number[] = []
  for (let step = 0; tokens.length < count && step < vocabularySize; step += 1) {
    // Spread over the vocabulary, whose first tokens are often special or bytes.
    const token = (seed * 7919 + step * 104_729) % vocabularySize
    if (isWord(texts.text(token))) tokens.push(token)
  }
  return tokens
}

function isWord(bytes: Uint8Array): boolean {
  return /^ ?[A-Za-z]{2,16}$/.test(Buffer.from(bytes).toString('latin1'))
}

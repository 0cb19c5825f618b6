import type { GenerateRequest } from '../../proto/gen/intramuros/v1/inference.ts'
import { ServiceError } from '../shared/errors.ts'
import type { AnswerGuide } from './answer-guide.ts'
import { createAwaitedTexts } from './awaited-text.ts'
import type { DecodedToken, RemoteEnd, RemoteEngine, Sampling } from './engines/engine.ts'

export interface RemoteDecodeOptions {
  engine: RemoteEngine
  slot: number
  request: GenerateRequest
  sampling: Sampling
  guide: AnswerGuide | undefined
}

/**
 * The tokens of an answer whose model is in another process. That draws them by itself, under the grammar that it was sent, so what it
 * can't know is done between completions: where a grammar begins to hold only after some text, or the end of the reasoning is forced, what
 * it is at is cut off, and it is asked to go on from there. The guide still sees each token, so that an answer that breaks its grammar
 * is an error and never an answer.
 */
export async function* decodeRemotely(options: RemoteDecodeOptions, signal: AbortSignal): AsyncGenerator<DecodedToken | RemoteEnd, void, undefined> {
  const { engine, slot, request, sampling, guide } = options
  const { constraint, team, maxTokens, topLogprobs } = request
  const visible = new Set(request.visibleTokens)
  const bytesOf = (token: number): Uint8Array => (visible.has(token) ? engine.texts.spelling(token) : engine.texts.text(token))
  const drawn: number[] = []
  let awaited = constraint === undefined || constraint.after.length === 0 ? undefined : createAwaitedTexts(constraint.after)

  function take(token: number): number {
    drawn.push(token)
    return token
  }

  /** The completion that goes on from here, up to where another one must. */
  async function* completion(part: number): AsyncGenerator<DecodedToken | RemoteEnd, 'cut' | 'ended', undefined> {
    const items = engine.complete(
      {
        slot,
        team,
        tokens: [...request.tokens, ...drawn],
        maxTokens: maxTokens - drawn.length,
        // The same random numbers again would not be random.
        sampling: { ...sampling, seed: (sampling.seed + part) % 2 ** 32 },
        grammar: awaited === undefined ? constraint?.grammar : undefined,
        topLogprobs,
      },
      signal,
    )
    for await (const item of items) {
      if ('ended' in item) {
        if (item.ended === 'turn') mayEnd(guide, engine.endTokens[0])
        yield item
        return 'ended'
      }
      const forced = guide?.forced()
      if (forced !== undefined) {
        for (let token: number | undefined = forced; token !== undefined; token = guide?.forced()) {
          if (awaited?.find(bytesOf(token)) !== undefined) awaited = undefined
          yield { token: take(token), logprobs: undefined }
        }
        return 'cut'
      }
      if (engine.isEndOfGeneration(item.token)) mayEnd(guide, item.token)
      const bytes = bytesOf(item.token)
      const behind = awaited?.find(bytes)
      if (behind === undefined) {
        take(item.token)
        yield item
        continue
      }
      awaited = undefined
      // What stands behind the text in the same token was drawn without the grammar.
      const kept = behind.length === 0 ? [item.token] : engine.splitter.split(bytes.subarray(0, bytes.length - behind.length))
      if (kept === undefined) throw cantKeep()
      for (const token of kept) yield { token: take(token), logprobs: token === item.token ? item.logprobs : undefined }
      return 'cut'
    }
    // After an abort.
    return 'ended'
  }

  for (let part = 0; !signal.aborted; part += 1) {
    if ((yield* completion(part)) === 'ended') return
  }
}

function mayEnd(guide: AnswerGuide | undefined, token: number | undefined): void {
  if (guide !== undefined && token !== undefined && !guide.allows(token)) throw cantKeep()
}

function cantKeep(): ServiceError {
  return new ServiceError('INTERNAL', 'grammar_failed', 'The answer could not be kept to the grammar.')
}

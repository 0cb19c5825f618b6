import type { GenerateRequest } from '../../proto/gen/intramuros/v1/inference.ts'
import { ServiceError } from '../shared/errors.ts'
import type { AnswerGuide } from './answer-guide.ts'
import type { DecodedToken, RemoteEnd, RemoteEngine, Sampling } from './engines/engine.ts'

export interface RemoteDecodeOptions {
  engine: RemoteEngine
  slot: number
  request: GenerateRequest
  sampling: Sampling
  guide: AnswerGuide | undefined
}

/** Why a completion was read no further. */
type Cut = 'forced' | 'forbidden' | 'one'

/**
 * The tokens of an answer whose model is in another process. That draws them freely; where one comes that the guide does not allow, or
 * another one must come, the completion is cut off and the server asked to go on from there: for one token with all forbidden ones
 * masked, then freely again. That is the masked distribution exactly, as with an engine of this process, and costs nothing as long as
 * model and grammar agree; and no grammar, which may be hostile, reaches the server.
 */
export async function* decodeRemotely(options: RemoteDecodeOptions, signal: AbortSignal): AsyncGenerator<DecodedToken | RemoteEnd, void, undefined> {
  const { engine, slot, request, sampling, guide } = options
  const { team, maxTokens, topLogprobs } = request
  const drawn: number[] = []

  function take(item: DecodedToken): DecodedToken {
    drawn.push(item.token)
    return item
  }

  /** Yields what of one completion may be in the answer. Returns undefined at its end. */
  async function* completion(part: number, forbidden: Uint8Array | undefined): AsyncGenerator<DecodedToken | RemoteEnd, Cut | undefined, undefined> {
    const items = engine.complete(
      {
        slot,
        team,
        tokens: [...request.tokens, ...drawn],
        answered: drawn.length,
        maxTokens: forbidden === undefined ? maxTokens - drawn.length : 1,
        // The same random numbers again would not be random.
        sampling: { ...sampling, seed: (sampling.seed + part) % 2 ** 32 },
        forbidden,
        topLogprobs,
      },
      signal,
    )
    for await (const item of items) {
      const forced = 'ended' in item ? undefined : guide?.forced()
      if (forced !== undefined) {
        for (let token: number | undefined = forced; token !== undefined; token = guide?.forced()) yield take({ token, logprobs: undefined })
        return 'forced'
      }
      const token = 'ended' in item ? (item.ended === 'turn' ? engine.endTokens[0] : undefined) : item.token
      if (token !== undefined && guide?.allows(token) === false) {
        if (forbidden !== undefined) throw new ServiceError('INTERNAL', 'grammar_failed', 'The answer could not be kept to the grammar.')
        return 'forbidden'
      }
      if ('ended' in item) {
        yield item
        return undefined
      }
      yield take(item)
      if (forbidden !== undefined) return 'one'
    }
    // After an abort.
    return undefined
  }

  let cut: Cut | undefined
  for (let part = 0; !signal.aborted; part += 1) {
    cut = yield* completion(part, cut === 'forbidden' ? guide?.forbidden() : undefined)
    if (cut === undefined) return
  }
}

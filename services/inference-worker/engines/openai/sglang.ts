import { Type } from 'typebox'
import { Check } from 'typebox/value'
import type { DecodedToken, RemoteEnd, RemoteRequest, TokenLogprobs } from '../engine.ts'
import type { HttpClient } from './http-client.ts'
import { biasesOf } from './mask-bias.ts'
import { describeListed, malformed, questionMs } from './model-list.ts'
import { type Completion, type KindOptions, leastLogprob, sampleTokens, type ServerKind, tryIsolation } from './server-kind.ts'

const Text = Type.Object({ text: Type.String() })
/** Logarithm, token, and its text or null. */
const Logprob = Type.Tuple([Type.Union([Type.Number(), Type.Null()]), Type.Integer({ minimum: 0 }), Type.Unknown()])
const Event = Type.Object({
  output_ids: Type.Array(Type.Integer({ minimum: 0 })),
  meta_info: Type.Object({
    completion_tokens: Type.Integer({ minimum: 0 }),
    cached_tokens: Type.Optional(Type.Integer()),
    finish_reason: Type.Optional(Type.Union([Type.Object({ type: Type.String() }), Type.Null()])),
    output_token_logprobs: Type.Optional(Type.Array(Logprob)),
    output_top_logprobs: Type.Optional(Type.Array(Type.Union([Type.Array(Logprob), Type.Null()]))),
  }),
})
const Cached = Type.Object({ meta_info: Type.Object({ cached_tokens: Type.Integer() }) })

/** Several pages of its cache, whichever size they have by default. */
const trialTokens = 600
const trialMs = 120_000

/** SGLang, through its own /generate. */
export function createSglangKind(options: KindOptions): ServerKind {
  const { vocabularySize, endTokens, saltOf } = options

  async function cachedOf(http: HttpClient, tokens: readonly number[], salt: string, signal: AbortSignal): Promise<number> {
    const body = { input_ids: tokens, sampling_params: { max_new_tokens: 1, temperature: 0 }, stream: false, ...salted(salt) }
    const answer = await http.json({ method: 'POST', path: '/generate', body, signal }, trialMs)
    if (!Check(Cached, answer)) throw malformed()
    return answer.meta_info.cached_tokens
  }

  function reader(request: RemoteRequest): Completion['read'] {
    let told = 0
    return (event) => {
      if (!Check(Event, event)) throw malformed()
      const { output_ids: ids, meta_info: meta } = event
      // All of them so far or only the new ones, as the server was started: the last ones are the new ones in both.
      const fresh = meta.completion_tokens - told
      if (fresh < 0 || fresh > ids.length) throw malformed()
      told = meta.completion_tokens
      const tokens = lastOf(ids, fresh)
      if (tokens.some((token) => token >= vocabularySize)) throw malformed()
      const own = lastOf(meta.output_token_logprobs ?? [], fresh)
      const top = lastOf(meta.output_top_logprobs ?? [], fresh)
      const items: (DecodedToken | RemoteEnd)[] = tokens.map((token, index) => {
        const logprob = own[index]
        return { token, logprobs: request.topLogprobs === undefined || logprob === undefined ? undefined : logprobsOf(logprob, top[index] ?? [], request.topLogprobs) }
      })
      const reason = meta.finish_reason?.type
      if (reason === 'stop' || reason === 'length') items.push({ ended: reason === 'stop' ? 'turn' : 'limit', untold: 0, cachedTokens: meta.cached_tokens })
      else if (reason !== undefined) throw malformed()
      return items
    }
  }

  return {
    name: 'sglang',
    // Its /health generates a token and takes a second for it.
    healthPath: '/v1/models',
    gauges: { running: 'sglang:num_running_reqs', waiting: 'sglang:num_queue_reqs' },
    describe: describeListed,
    async detokenise(http, { name }, token, signal) {
      const answer = await http.json({ method: 'POST', path: '/detokenize', body: { model: name, tokens: [token] }, signal }, questionMs)
      if (!Check(Text, answer)) throw malformed()
      return answer.text
    },
    async isolate(http, { contextLength }, signal) {
      const tokens = sampleTokens(options, Math.min(trialTokens, contextLength - 2), 1)
      return await tryIsolation('SGLang', (team) => cachedOf(http, tokens, saltOf(team), signal))
    },
    held: () => 0,
    complete(request) {
      const { team, tokens, maxTokens, sampling, forbidden, topLogprobs } = request
      const biases = biasesOf(sampling, forbidden)
      return {
        path: '/generate',
        body: {
          input_ids: tokens,
          stream: true,
          ...salted(saltOf(team)),
          sampling_params: {
            max_new_tokens: maxTokens,
            temperature: sampling.temperature,
            top_p: sampling.topP,
            top_k: sampling.topK === 0 ? -1 : sampling.topK,
            min_p: sampling.minP,
            repetition_penalty: sampling.repeatPenalty,
            presence_penalty: sampling.presencePenalty,
            frequency_penalty: sampling.frequencyPenalty,
            sampling_seed: sampling.seed % 2 ** 31,
            stop_token_ids: endTokens,
            skip_special_tokens: false,
            no_stop_trim: true,
            ...(biases.length === 0 ? {} : { logit_bias: Object.fromEntries(biases.map(([token, bias]) => [token, bias === 'never' ? never : bias])) }),
          },
          ...(topLogprobs === undefined ? {} : { return_logprob: true, top_logprobs_num: topLogprobs, return_text_in_logprobs: false }),
        },
        read: reader(request),
      }
    },
  }
}

/** Its older name for it, too. */
function salted(salt: string): { cache_salt: string; extra_key: string } {
  return { cache_salt: salt, extra_key: salt }
}

/** JSON has no infinity; no logit is near this. */
const never = -1e9

function lastOf<T>(items: readonly T[], count: number): readonly T[] {
  return count === 0 ? [] : items.slice(-count)
}

function logprobsOf([own]: Type.Static<typeof Logprob>, top: readonly Type.Static<typeof Logprob>[], count: number): TokenLogprobs {
  const bounded = (value: number | null): number => Math.max(leastLogprob, value ?? leastLogprob)
  return { logprob: bounded(own), top: top.slice(0, count).map(([logprob, token]) => ({ token, logprob: bounded(logprob) })) }
}

import { Type } from 'typebox'
import { Check } from 'typebox/value'
import type { DecodedToken, RemoteEnd, RemoteRequest, TokenLogprobs } from '../engine.ts'
import { describeListed, malformed, questionMs } from './model-list.ts'
import { type Completion, type KindOptions, leastLogprob, sampleTokens, type ServerKind, tryIsolation } from './server-kind.ts'

const Text = Type.Object({ prompt: Type.String() })
const Logprobs = Type.Object({
  tokens: Type.Array(Type.String()),
  token_logprobs: Type.Array(Type.Union([Type.Number(), Type.Null()])),
  top_logprobs: Type.Array(Type.Union([Type.Record(Type.String(), Type.Number()), Type.Null()])),
})
const Usage = Type.Object({
  prompt_tokens_details: Type.Optional(Type.Union([Type.Object({ cached_tokens: Type.Optional(Type.Union([Type.Integer(), Type.Null()])) }), Type.Null()])),
})
const Event = Type.Object({
  choices: Type.Array(
    Type.Object({
      token_ids: Type.Optional(Type.Union([Type.Array(Type.Integer({ minimum: 0 })), Type.Null()])),
      finish_reason: Type.Optional(Type.Union([Type.String(), Type.Null()])),
      logprobs: Type.Optional(Type.Union([Logprobs, Type.Null()])),
    }),
    { maxItems: 1 },
  ),
  usage: Type.Optional(Type.Union([Usage, Type.Null()])),
})

const Used = Type.Object({ usage: Usage })

/** Several blocks of its cache. */
const trialTokens = 600
const trialMs = 120_000

/** vLLM from 0.10.2 on, through /v1/completions: the first that tells token ids, which only those do that have `cache_salt`. */
export function createVllmKind(options: KindOptions): ServerKind {
  const { vocabularySize, endTokens, saltOf } = options

  function reader(request: RemoteRequest): Completion['read'] {
    let ended: RemoteEnd['ended'] | undefined
    return (event) => {
      if (!Check(Event, event)) throw malformed()
      const { choices, usage } = event
      const items: (DecodedToken | RemoteEnd)[] = []
      const [choice] = choices
      if (choice !== undefined) {
        const { token_ids: tokens, finish_reason: reason, logprobs } = choice
        if (!Array.isArray(tokens) || tokens.some((token) => token >= vocabularySize)) throw malformed()
        items.push(...tokens.map((token, index) => ({ token, logprobs: request.topLogprobs === undefined || logprobs == null ? undefined : logprobsAt(logprobs, index, request.topLogprobs) })))
        // "abort" and "error" are no ends that an answer may have.
        if (reason === 'stop') ended = 'turn'
        else if (reason === 'length') ended = 'limit'
        else if (reason != null) throw malformed()
      }
      // The event after the last choice tells what was used.
      if (ended !== undefined && usage != null) items.push({ ended, untold: 0, cachedTokens: cachedTokens(usage) })
      return items
    }
  }

  return {
    name: 'vllm',
    healthPath: '/health',
    gauges: { running: 'vllm:num_requests_running', waiting: 'vllm:num_requests_waiting' },
    describe: describeListed,
    async detokenise(http, { name }, token, signal) {
      const answer = await http.json({ method: 'POST', path: '/detokenize', body: { model: name, tokens: [token] }, signal }, questionMs)
      if (!Check(Text, answer)) throw malformed()
      return answer.prompt
    },
    async isolate(http, { name, contextLength }, signal) {
      const prompt = sampleTokens(options, Math.min(trialTokens, contextLength - 2), 1)
      return await tryIsolation('vLLM', async (team) => {
        const body = { model: name, prompt, max_tokens: 1, temperature: 0, add_special_tokens: false, cache_salt: saltOf(team) }
        const answer = await http.json({ method: 'POST', path: '/v1/completions', body, signal }, trialMs)
        if (!Check(Used, answer)) throw malformed()
        // Only with --enable-prompt-tokens-details.
        return cachedTokens(answer.usage)
      })
    },
    held: () => 0,
    complete(request, { name }) {
      const { team, tokens, maxTokens, sampling, forbidden, topLogprobs } = request
      return {
        path: '/v1/completions',
        body: {
          model: name,
          prompt: tokens,
          max_tokens: maxTokens,
          stream: true,
          stream_options: { include_usage: true },
          add_special_tokens: false,
          skip_special_tokens: false,
          return_token_ids: true,
          cache_salt: saltOf(team),
          temperature: sampling.temperature,
          top_p: sampling.topP,
          top_k: sampling.topK,
          min_p: sampling.minP,
          repetition_penalty: sampling.repeatPenalty,
          presence_penalty: sampling.presencePenalty,
          frequency_penalty: sampling.frequencyPenalty,
          seed: sampling.seed,
          stop_token_ids: endTokens,
          ...(sampling.logitBias.size === 0 ? {} : { logit_bias: Object.fromEntries(sampling.logitBias) }),
          ...(topLogprobs === undefined ? {} : { logprobs: topLogprobs, return_tokens_as_token_ids: true }),
          ...(forbidden === undefined ? {} : { allowed_token_ids: allowedOf(forbidden) }),
        },
        read: reader(request),
      }
    },
  }
}

function allowedOf(forbidden: Uint8Array): number[] {
  const allowed: number[] = []
  forbidden.forEach((is, token) => {
    if (is === 0) allowed.push(token)
  })
  return allowed
}

function cachedTokens({ prompt_tokens_details: details }: Type.Static<typeof Usage>): number | undefined {
  return details?.cached_tokens ?? undefined
}

function logprobsAt({ token_logprobs: own, top_logprobs: top }: Type.Static<typeof Logprobs>, index: number, count: number): TokenLogprobs {
  const entries = Object.entries(top[index] ?? {}).flatMap(([spelt, logprob]) => {
    const token = /^token_id:(\d+)$/.exec(spelt)?.[1]
    return token === undefined ? [] : [{ token: Number(token), logprob: Math.max(leastLogprob, logprob) }]
  })
  // The drawn token is among them even where it is not among the likeliest.
  const likeliest = entries.toSorted((a, b) => b.logprob - a.logprob).slice(0, count)
  return { logprob: Math.max(leastLogprob, own[index] ?? leastLogprob), top: likeliest }
}

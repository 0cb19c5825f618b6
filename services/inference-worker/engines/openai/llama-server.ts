import { Type } from 'typebox'
import { Check } from 'typebox/value'
import type { DecodedToken, RemoteEnd, RemoteRequest, TokenLogprobs } from '../engine.ts'
import type { HttpClient } from './http-client.ts'
import { biasesOf } from './mask-bias.ts'
import { listModels, malformed, pickModel, questionMs } from './model-list.ts'
import { type Completion, type Isolation, IsolationError, type KindOptions, leastLogprob, sampleTokens, type ServedModel, type ServerKind } from './server-kind.ts'
import { createSlotHolders, type SentRequest } from './slot-holders.ts'
import { UpstreamError } from './upstream-error.ts'

const Props = Type.Object({
  total_slots: Type.Integer({ minimum: 1 }),
  default_generation_settings: Type.Object({ n_ctx: Type.Integer({ minimum: 1 }) }),
})
const Text = Type.Object({ content: Type.String() })
const Cached = Type.Object({ timings: Type.Object({ cache_n: Type.Integer() }) })

const Logprob = Type.Object({ id: Type.Integer({ minimum: 0 }), logprob: Type.Union([Type.Number(), Type.Null()]) })
const Probabilities = Type.Object({ ...Logprob.properties, top_logprobs: Type.Array(Logprob) })
const Part = Type.Object({
  stop: Type.Literal(false),
  content: Type.String(),
  tokens: Type.Array(Type.Integer({ minimum: 0 }), { maxItems: 1 }),
  tokens_predicted: Type.Integer({ minimum: 0 }),
  completion_probabilities: Type.Optional(Type.Array(Probabilities, { maxItems: 1 })),
})
const End = Type.Object({
  stop: Type.Literal(true),
  /** Those that no event before this one told. */
  tokens: Type.Array(Type.Integer({ minimum: 0 })),
  completion_probabilities: Type.Optional(Type.Array(Probabilities)),
  stop_type: Type.String(),
  tokens_predicted: Type.Integer({ minimum: 0 }),
  'timings/cache_n': Type.Optional(Type.Integer()),
})

/** Long enough to be evaluated in more than a step, short enough for any context. */
const trialTokens = 48
const trialMs = 120_000

/**
 * llama.cpp's own server, through its own /completion. It has no salt for its cache, so each request names the slot that it wants, and
 * what the slot holds is used only by the team that filled it.
 */
export function createLlamaServerKind(options: KindOptions): ServerKind {
  const { texts, splitter } = options
  const holders = createSlotHolders(() => performance.now())
  /** Tokens that each slot holds. */
  const held = new Map<number, number>()
  let mayReuse = false

  async function cachedOf(http: HttpClient, tokens: readonly number[], reuse: boolean, signal: AbortSignal): Promise<number> {
    const body = { prompt: tokens, n_predict: 1, id_slot: 0, cache_prompt: reuse, n_cache_reuse: 0, stream: false, ...plainSampling, temperature: 0 }
    const answer = await http.json({ method: 'POST', path: '/completion', body, signal }, trialMs)
    if (!Check(Cached, answer)) throw malformed()
    return answer.timings.cache_n
  }

  /** The server says 501 when it was started without a folder for them, before it looks at anything else. */
  async function savesSlots(http: HttpClient, signal: AbortSignal): Promise<boolean> {
    try {
      await http.text({ method: 'POST', path: '/slots/0?action=none', body: {}, signal }, questionMs)
      return true
    } catch (thrown) {
      if (!(thrown instanceof UpstreamError)) throw thrown
      if (thrown.reason === 'refused') return true
      if (thrown.reason === 'not_found') return false
      throw thrown
    }
  }

  function reader(request: RemoteRequest, sent: SentRequest | undefined): Completion['read'] {
    let told = 0
    const decoded = (token: number, probabilities: Type.Static<typeof Probabilities> | undefined): DecodedToken => {
      if (token >= options.vocabularySize) throw malformed()
      const isWanted = request.topLogprobs !== undefined && probabilities?.id === token
      return { token, logprobs: isWanted ? logprobsOf(probabilities, request.topLogprobs ?? 0) : undefined }
    }
    return (event) => {
      sent?.begun()
      if (Check(End, event)) {
        sent?.answered()
        const ended: RemoteEnd['ended'] = event.stop_type === 'eos' ? 'turn' : 'limit'
        if (event.tokens.length > 0) held.set(request.slot, request.tokens.length + event.tokens.length - 1)
        const tokens = event.tokens.map((token, index) => decoded(token, event.completion_probabilities?.[index]))
        return [...tokens, { ended, untold: Math.max(0, event.tokens_predicted - told - tokens.length), cachedTokens: event['timings/cache_n'] }]
      }
      if (!Check(Part, event)) throw malformed()
      const [token] = event.tokens
      // The first event says only that the prompt is being evaluated.
      if (token === undefined || event.tokens_predicted <= told) return []
      sent?.answered()
      const missing = event.tokens_predicted - told - 1
      told = event.tokens_predicted
      // The last one is drawn, and not evaluated yet.
      held.set(request.slot, request.tokens.length + told - 1)
      const last = decoded(token, event.completion_probabilities?.[0])
      return missing === 0 ? [last] : [...untoldTokens(event.content, token, missing).map((token) => ({ token, logprobs: undefined })), last]
    }
  }

  /**
   * In a stream it leaves out the tokens that end within a character, and tells their text with the token that completes it. That they are
   * the longest that give this text is most likely what they were.
   */
  function untoldTokens(content: string, last: number, count: number): number[] {
    const bytes = Buffer.from(content)
    const own = texts.text(last)
    const before = bytes.subarray(0, bytes.length - own.length)
    const isBehind = bytes.subarray(bytes.length - own.length).equals(own)
    if (isBehind) {
      const found = splitter.split(before, count)
      if (found !== undefined) return found
    }
    // Bytes that are no text at all became U+FFFD on the way.
    return splitter.split(Buffer.from(content.replace(/[^\uFFFD]*$/, ''))) ?? []
  }

  return {
    name: 'llama-server',
    healthPath: '/health',
    gauges: { running: 'llamacpp:requests_processing', waiting: 'llamacpp:requests_deferred' },
    async describe(http, name, signal) {
      const { id, meta } = pickModel(await listModels(http, signal), name)
      const props = await http.json({ method: 'GET', path: '/props', signal }, questionMs)
      if (!Check(Props, props)) throw malformed()
      const { total_slots: slots, default_generation_settings: settings } = props
      return { name: id, contextLength: settings.n_ctx, slots, vocabularySize: meta?.n_vocab }
    },
    async detokenise(http, _model, token, signal) {
      const answer = await http.json({ method: 'POST', path: '/detokenize', body: { tokens: [token] }, signal }, questionMs)
      if (!Check(Text, answer)) throw malformed()
      return answer.content
    },
    async isolate(http, _model, signal): Promise<Isolation> {
      holders.clear()
      mayReuse = false
      if (await savesSlots(http, signal)) {
        throw new IsolationError('llama-server may write what its slots hold, prompts and answers, to files. Start it without --slot-save-path.')
      }
      const one = sampleTokens(options, trialTokens, 1)
      const other = sampleTokens(options, trialTokens, 2)
      // A slot that is told to forget what it holds must do so.
      await cachedOf(http, one, false, signal)
      if ((await cachedOf(http, one, false, signal)) > 0) throw new IsolationError('llama-server reuses what a slot holds even where it is told not to (cache_prompt: false).')
      const repeated = await cachedOf(http, one, true, signal)
      // With --cache-ram, what another prompt drives out of its slot comes back, into whichever slot.
      await cachedOf(http, other, true, signal)
      const restored = await cachedOf(http, one, true, signal)
      await cachedOf(http, other.slice(0, 1), false, signal)
      if (restored > 1) return { reuse: false, why: 'llama-server keeps prompts outside of its slots: start it with --cache-ram 0' }
      mayReuse = repeated > 0
      return { reuse: mayReuse, why: mayReuse ? undefined : 'llama-server does not reuse what a slot holds' }
    },
    held: (slot) => (mayReuse && holders.isCertain(slot) ? (held.get(slot) ?? 0) : 0),
    complete(request, model: ServedModel) {
      const { slot, team, tokens, maxTokens, topLogprobs } = request
      // What is for nobody goes where it drives out the oldest.
      const sent = team === '' ? undefined : holders.send(slot, team)
      if (team !== '') held.set(slot, 0)
      return {
        path: '/completion',
        body: {
          prompt: tokens,
          n_predict: maxTokens,
          // In a stream it says nothing of a token that ends within a character.
          stream: maxTokens > 1,
          return_tokens: true,
          id_slot: team === '' ? -1 : slot % (model.slots ?? 1),
          cache_prompt: mayReuse && sent?.mayReuse === true,
          // Otherwise it would use parts of a text that were computed behind another beginning.
          n_cache_reuse: 0,
          sse_ping_interval: -1,
          // The whole prompt would be in the last event, too.
          response_fields: ['stop', 'stop_type', 'tokens', 'completion_probabilities', 'tokens_predicted', 'timings/cache_n'],
          ...samplingOf(request),
          ...(topLogprobs === undefined ? {} : { n_probs: Math.max(1, topLogprobs), post_sampling_probs: false }),
        },
        read: reader(request, sent),
      }
    },
  }
}

/** What the server's own command line may have set otherwise. */
const plainSampling = {
  samplers: ['penalties', 'top_k', 'top_p', 'min_p', 'temperature'],
  typical_p: 1,
  xtc_probability: 0,
  top_n_sigma: -1,
  dynatemp_range: 0,
  dry_multiplier: 0,
  mirostat: 0,
  adaptive_target: -1,
  min_keep: 0,
  n_indent: 0,
  t_max_predict_ms: -1,
  ignore_eos: false,
  stop: [],
  reasoning_budget_tokens: -1,
} as const

/** In C++ this seed means one that is not known. */
const unseeded = 0xffff_ffff

function samplingOf({ sampling, answered, maxTokens, forbidden }: RemoteRequest): Record<string, unknown> {
  const { temperature, topP, topK, minP, repeatPenalty, penaltyWindow, presencePenalty, frequencyPenalty, seed } = sampling
  return {
    ...plainSampling,
    temperature,
    top_p: topP,
    top_k: topK,
    min_p: minP,
    repeat_penalty: repeatPenalty,
    // One window for all three, and no way to leave the prompt out of the others.
    repeat_last_n: repeatPenalty === 1 ? answered + maxTokens : penaltyWindow,
    presence_penalty: presencePenalty,
    frequency_penalty: frequencyPenalty,
    logit_bias: biasesOf(sampling, forbidden).map(([token, bias]) => [token, bias === 'never' ? false : bias]),
    seed: seed === unseeded ? 0 : seed,
  }
}

function logprobsOf({ logprob, top_logprobs: top }: Type.Static<typeof Probabilities>, count: number): TokenLogprobs {
  const bounded = (value: number | null): number => Math.max(leastLogprob, value ?? leastLogprob)
  return { logprob: bounded(logprob), top: top.slice(0, count).map(({ id, logprob }) => ({ token: id, logprob: bounded(logprob) })) }
}

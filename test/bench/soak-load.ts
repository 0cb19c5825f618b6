import { setTimeout as after } from 'node:timers/promises'
import { type GenerateRequest, InferenceService } from '../../proto/gen/intramuros/v1/inference.ts'
import { ServiceError } from '../../services/shared/errors.ts'
import type { LaneClient } from '../../services/shared/rpc/lane-client.ts'
import { generateRequest } from '../support/generate-request.ts'
import { excerpt } from './engine-workloads.ts'

export interface SoakCounts {
  chats: number
  longPrompts: number
  cancelled: number
  embeddings: number
  /** Requests that more waited for than may: not an error. */
  refused: number
  /** How often each error came that should not. */
  errors: Map<string, number>
}

export interface SoakOptions {
  generating: LaneClient
  embedding: LaneClient
  model: string
  /** Texts as tokens of the two models. */
  text: readonly number[]
  embeddingText: readonly number[]
  clients: number
  signal: AbortSignal
  /** In [0, 1). */
  random(): number
}

/** Asks until the signal aborts; what is under way then is finished. */
export async function soak(options: SoakOptions, counts: SoakCounts): Promise<void> {
  const { generating, embedding, model, text, embeddingText, signal, random } = options
  let number = 0
  const forever = new AbortController().signal
  const between = (least: number, most: number): number => least + Math.floor(random() * (most - least + 1))
  const requestId = (): string => `soak-${(number += 1)}`

  async function generate(request: GenerateRequest, abort: AbortSignal = forever): Promise<number[]> {
    const tokens: number[] = []
    for await (const { event } of generating.stream(InferenceService.generate, request, { requestId: requestId(), signal: abort })) {
      if (event?.$case === 'delta') tokens.push(...event.value.tokens)
    }
    return tokens
  }

  const sampling = (): Partial<GenerateRequest['sampling']> =>
    random() < 0.5 ? {} : { temperature: 0.8, topK: 40, topP: 0.95, minP: 0.05, seed: between(0, 2 ** 31), ...(random() < 0.5 ? { repeatPenalty: 1.1 } : { presencePenalty: 0.5 }) }

  async function chat(): Promise<void> {
    const tokens = excerpt(text, between(0, 1e6), between(10, 60))
    for (let turn = 0; turn < 3; turn += 1) {
      tokens.push(...(await generate(generateRequest({ model, tokens: [...tokens], maxTokens: between(4, 32), ...sampling() }))), ...excerpt(text, between(0, 1e6), 12))
    }
    counts.chats += 1
  }

  async function longPrompt(): Promise<void> {
    const logprobs = random() < 0.2 ? { topLogprobs: 5 } : {}
    await generate(generateRequest({ model, tokens: excerpt(text, between(0, 1e6), between(300, 800)), maxTokens: between(1, 16), ...logprobs, ...sampling() }))
    counts.longPrompts += 1
  }

  /** At any moment: in the queue, in the prompt, in the answer. */
  async function cancelled(): Promise<void> {
    const abort = new AbortController()
    const request = generateRequest({ model, tokens: excerpt(text, between(0, 1e6), between(10, 600)), maxTokens: 200, ...sampling() })
    const timer = setTimeout(() => abort.abort(), between(0, 3000))
    try {
      await generate(request, abort.signal)
    } catch (thrown) {
      if (!abort.signal.aborted) throw thrown
      counts.cancelled += 1
    } finally {
      clearTimeout(timer)
    }
  }

  async function embed(): Promise<void> {
    const inputs = Array.from({ length: between(1, 8) }, () => ({ tokens: excerpt(embeddingText, between(0, 1e6), between(1, 200)) }))
    const { embeddings } = await embedding.unary(InferenceService.embed, { model, team: 'default', weight: 0, batch: false, inputs }, { requestId: requestId(), signal: forever })
    if (embeddings.length !== inputs.length) throw new Error('embeddings are missing')
    counts.embeddings += 1
  }

  async function attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (thrown) {
      if (thrown instanceof ServiceError && thrown.reason === 'queue_full') {
        counts.refused += 1
        await after(thrown.retryAfterMs ?? 100)
        return
      }
      const name = thrown instanceof ServiceError ? `${thrown.code} ${thrown.reason}` : String(thrown)
      counts.errors.set(name, (counts.errors.get(name) ?? 0) + 1)
      // A worker that is gone refuses at once.
      await after(250)
    }
  }

  const client = async (): Promise<void> => {
    while (!signal.aborted) {
      const dice = random()
      await attempt(dice < 0.4 ? chat : dice < 0.6 ? longPrompt : cancelled)
    }
  }
  const embedder = async (): Promise<void> => {
    while (!signal.aborted) {
      await attempt(embed)
      await after(between(0, 500))
    }
  }
  await Promise.all([...Array.from({ length: options.clients }, client), embedder()])
}

import { InferenceService } from '../../proto/gen/intramuros/v1/inference.ts'
import { generateRequest } from '../support/generate-request.ts'
import { connectWorkerLane } from '../support/worker-lane.ts'

export interface Ask {
  prompt: readonly number[]
  answerTokens: number
  sampling: SamplingChoice
  seed: number
}

/** Both servers are set to the same chain, in this order: top-k, top-p, min-p, temperature. */
export interface SamplingChoice {
  /** 0: greedy, and nothing else. */
  temperature: number
  topK: number
  topP: number
  minP: number
}

export type TargetAddress =
  | { kind: 'worker'; address: string; tls: string; model: string; endTokens: readonly number[] }
  | { kind: 'llama-server'; url: string }

/** A server that answers. */
export interface Target {
  /** Calls `onTokens` with what came, as it comes; resolves when the answer is whole. */
  ask(request: Ask, onTokens: (tokens: readonly number[]) => void): Promise<void>
  close(): void
}

export async function connectTarget(target: TargetAddress): Promise<Target> {
  return target.kind === 'worker' ? await connectWorker(target) : connectLlamaServer(target.url)
}

/** As the gateway does it: over a lane, with its certificate. */
async function connectWorker({ address, tls, model, endTokens }: Extract<TargetAddress, { kind: 'worker' }>): Promise<Target> {
  const lane = await connectWorkerLane({ address, tls })
  const signal = new AbortController().signal
  // An answer must not end before its length.
  const logitBias = Object.fromEntries(endTokens.map((token) => [token, -100]))
  let number = 0
  return {
    async ask({ prompt, answerTokens, sampling, seed }, onTokens) {
      const request = generateRequest({ model, tokens: [...prompt], maxTokens: answerTokens, ...sampling, logitBias, seed })
      let count: number | undefined
      for await (const { event } of lane.stream(InferenceService.generate, request, { requestId: `bench-${(number += 1)}`, signal })) {
        if (event?.$case === 'delta') onTokens(event.value.tokens)
        if (event?.$case === 'finish') count = event.value.outputTokens
      }
      checkCount(count, answerTokens)
    },
    close: () => lane.close(),
  }
}

function connectLlamaServer(url: string): Target {
  return {
    async ask({ prompt, answerTokens, sampling, seed }, onTokens) {
      const { temperature, topK, topP, minP } = sampling
      const chain = { temperature, top_k: topK, top_p: topP, min_p: minP, seed, samplers: ['top_k', 'top_p', 'min_p', 'temperature'] }
      // For a greedy choice the likeliest token is all that its chain is left with.
      const choice = temperature === 0 ? { temperature: 0, top_k: 1, seed, samplers: ['top_k'] } : chain
      const body = { prompt, n_predict: answerTokens, stream: true, cache_prompt: true, ignore_eos: true, return_tokens: true, ...choice }
      const response = await fetch(`${url}/completion`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
      if (response.status !== 200 || response.body === null) throw new Error(`llama-server answers with ${response.status}: ${await response.text()}`)
      let count: number | undefined
      let rest = ''
      for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
        const lines = (rest + chunk).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) {
          if (!line.startsWith('data: ')) continue
          const event = JSON.parse(line.slice('data: '.length)) as { tokens?: number[]; stop?: boolean; tokens_predicted?: number }
          if (event.tokens !== undefined && event.tokens.length > 0) onTokens(event.tokens)
          if (event.stop === true) count = event.tokens_predicted
        }
      }
      checkCount(count, answerTokens)
    },
    close: () => undefined,
  }
}

/** Servers that did not do the same work can't be compared. */
function checkCount(count: number | undefined, wanted: number): void {
  if (count !== wanted) throw new Error(`an answer has ${count ?? 'no'} tokens, not ${wanted}`)
}

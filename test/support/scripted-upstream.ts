import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { GeneratingVocabulary } from '../../services/inference-worker/engines/openai/vocabulary.ts'
import type { ServerKindName } from '../../services/inference-worker/engines/openai/server-kind.ts'

/** Tokens: 256 bytes, then words of two letters, then the end of a turn. */
const letters = 'abcdefghijklmnopqrstuvwxyz'.split('')
const texts = [
  ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
  ...letters.flatMap((one) => letters.map((other) => Buffer.from(one + other))),
]
export const upstreamEnd = texts.length
export const upstreamVocabulary: GeneratingVocabulary = {
  purpose: 'generating',
  vocabularySize: texts.length + 1,
  texts: { text: (token) => texts[token] ?? new Uint8Array(0), spelling: (token) => texts[token] ?? Buffer.from('<end>'), addsSpace: false },
  endTokens: [upstreamEnd],
}

/** How the scripted server behaves; may be changed while it runs. */
export interface UpstreamScript {
  kind: ServerKindName
  /** Of the answer to any prompt. Default: "hello", and the end of the turn. */
  answer?: readonly number[]
  /** The stream goes out in pieces of so many bytes. */
  pieceBytes?: number
  /** Status of the answer to a completion, with the prompt in its body. */
  status?: number
  /** Instead of the event after so many tokens: nothing more, the end of the connection, or these data. */
  after?: { tokens: number; comes: 'hang' | 'die' | { data: string } }
  healthStatus?: number
  model?: string
  contextLength?: number
  /** Says that it reused this many tokens, whoever asks. */
  leaks?: number
  /** SGLang: each event has only the new tokens. */
  incremental?: boolean
  /** `hang`: never comes, nor does any token. */
  metrics?: string
  /** It is not the model that the tokens are of. */
  otherVocabulary?: boolean
}

export interface ScriptedUpstream {
  readonly port: number
  script: UpstreamScript
  /** The bodies of the completions that were streamed. */
  readonly requests: Record<string, unknown>[]
  readonly headers: IncomingMessage['headers'][]
  /** Streams that are open. */
  readonly open: number
  /** Ends all connections. */
  dropAll(): void
  close(): Promise<void>
}

/** Speaks as vLLM, SGLang and llama-server do, as far as the worker listens. */
export async function startScriptedUpstream(script: UpstreamScript, port = 0): Promise<ScriptedUpstream> {
  const requests: Record<string, unknown>[] = []
  const headers: IncomingMessage['headers'][] = []
  let open = 0
  /** Of the prompts before, by salt. */
  const seen = new Set<string>()

  const server = createServer((request, response) => {
    headers.push(request.headers)
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString()
      answer(request.url ?? '', text === '' ? {} : (JSON.parse(text) as Record<string, unknown>), text, response)
    })
  })

  function answer(url: string, body: Record<string, unknown>, text: string, response: ServerResponse): void {
    const { kind, contextLength = 512, model = 'm' } = upstream.script
    const json = (value: unknown, status = 200): void => void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
    const path = url.replace(/\?.*/, '')
    if (path === '/health') return json({}, upstream.script.healthStatus ?? 200)
    const hangs = upstream.script.metrics === 'hang'
    if (hangs && (path === '/metrics' || path === '/completion' || path === '/generate' || path === '/v1/completions')) return
    if (path === '/metrics') return void response.end(upstream.script.metrics ?? '')
    if (path === '/props') return json({ total_slots: 2, default_generation_settings: { n_ctx: contextLength } })
    if (path === '/slots/0') return json({ error: { message: 'not supported' } }, 501)
    if (path === '/v1/models') {
      const owner = { vllm: 'vllm', sglang: 'sglang', 'llama-server': 'llamacpp' }[kind]
      const own = kind === 'llama-server' ? { meta: { n_vocab: upstreamVocabulary.vocabularySize } } : { max_model_len: contextLength }
      return json({ object: 'list', data: [{ id: model, owned_by: owner, ...own }] })
    }
    if (path === '/detokenize') {
      const [token] = body['tokens'] as number[]
      const word = upstream.script.otherVocabulary === true ? 'zz' : Buffer.from(texts[token ?? 0] ?? []).toString()
      return json({ vllm: { prompt: word }, sglang: { text: word }, 'llama-server': { content: word } }[kind])
    }
    const isTrial = body['stream'] !== true && body['return_tokens'] !== true
    if (isTrial) return json(trial(body))
    if (upstream.script.status !== undefined) return json({ error: { message: `bad request: ${text}` } }, upstream.script.status)
    requests.push(body)
    if (body['stream'] !== true) return json(oneToken(upstream.script.answer?.[0] ?? 104))
    void stream(body, response)
  }

  /** What llama-server answers outside of a stream. */
  function oneToken(token: number): unknown {
    const entry = { id: token, logprob: -token / 1000 }
    return { stop: true, stop_type: token === upstreamEnd ? 'eos' : 'limit', tokens: [token], tokens_predicted: 1, 'timings/cache_n': 3, completion_probabilities: [{ ...entry, top_logprobs: [entry] }] }
  }

  /** One token, as far as it matters how much of the prompt was evaluated. */
  function trial(body: Record<string, unknown>): unknown {
    const prompt = (body['prompt'] ?? body['input_ids']) as number[]
    const key = JSON.stringify([body['cache_salt'], prompt])
    const known = seen.has(key) && body['cache_prompt'] !== false
    const cached = upstream.script.leaks ?? (known ? prompt.length - 1 : 0)
    // A slot of llama-server holds one prompt.
    if (upstream.script.kind === 'llama-server') seen.clear()
    seen.add(key)
    return { timings: { cache_n: cached }, meta_info: { cached_tokens: cached }, usage: { prompt_tokens_details: { cached_tokens: cached } } }
  }

  async function stream(body: Record<string, unknown>, response: ServerResponse): Promise<void> {
    const { answer: tokens = [...Buffer.from('hello'), upstreamEnd], pieceBytes, after } = upstream.script
    open += 1
    response.on('close', () => (open -= 1))
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const send = async (data: string): Promise<void> => {
      const bytes = Buffer.from(`data: ${data}\n\n`)
      for (let at = 0; at < bytes.length; at += pieceBytes ?? bytes.length) {
        response.write(bytes.subarray(at, at + (pieceBytes ?? bytes.length)))
        if (pieceBytes !== undefined) await new Promise(setImmediate)
      }
    }
    const limit = Number(body['max_tokens'] ?? body['n_predict'] ?? (body['sampling_params'] as Record<string, unknown> | undefined)?.['max_new_tokens'])
    const told = tokens.slice(0, limit)
    for (const [count, data] of eventsOf(upstream.script, told, told.at(-1) === upstreamEnd ? 'stop' : 'length')) {
      if (after !== undefined && count >= after.tokens) {
        if (after.comes === 'die') response.destroy()
        else if (after.comes !== 'hang') await send(after.comes.data)
        if (after.comes === 'die' || after.comes === 'hang') return
      }
      await send(data)
    }
    response.end()
  }

  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const upstream: ScriptedUpstream = {
    port: (server.address() as AddressInfo).port,
    script,
    requests,
    headers,
    get open() {
      return open
    },
    dropAll: () => server.closeAllConnections(),
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
  return upstream
}

/** The data of the events, each with how many tokens came before it. */
function* eventsOf({ kind, incremental }: UpstreamScript, tokens: readonly number[], reason: 'stop' | 'length'): Generator<[number, string]> {
  const logprob = (token: number): number => -token / 1000
  if (kind === 'llama-server') {
    yield [0, JSON.stringify({ index: 0, content: '', tokens: [], stop: false, tokens_predicted: 0 })]
    let held: number[] = []
    for (const [index, token] of tokens.entries()) {
      held.push(token)
      const bytes = Buffer.concat(held.map((one) => texts[one] ?? Buffer.alloc(0)))
      // It tells nothing of a token that ends within a character.
      if (new TextDecoder().decode(bytes, { stream: true }).length === 0 && bytes.length > 0) continue
      held = []
      const probabilities = [{ id: token, logprob: logprob(token), top_logprobs: [{ id: token, logprob: logprob(token) }, { id: 1, logprob: -7 }] }]
      yield [index, JSON.stringify({ content: bytes.toString(), tokens: [token], stop: false, tokens_predicted: index + 1, completion_probabilities: probabilities })]
    }
    yield [tokens.length, JSON.stringify({ stop: true, stop_type: reason === 'stop' ? 'eos' : 'limit', tokens: [], tokens_predicted: tokens.length, 'timings/cache_n': 3 })]
    return
  }
  for (const [index, token] of tokens.entries()) {
    const last = index === tokens.length - 1 ? reason : null
    if (kind === 'vllm') {
      const logprobs = { tokens: [`token_id:${token}`], token_logprobs: [logprob(token)], top_logprobs: [{ 'token_id:1': -7, [`token_id:${token}`]: logprob(token) }] }
      yield [index, JSON.stringify({ choices: [{ index: 0, text: '', token_ids: [token], finish_reason: last, logprobs }] })]
    } else {
      const from = incremental === true ? index : 0
      const entries = tokens.slice(from, index + 1).map((one) => [logprob(one), one, null])
      const meta = { completion_tokens: index + 1, cached_tokens: 3, finish_reason: last === null ? null : { type: last }, output_token_logprobs: entries, output_top_logprobs: entries.map((entry) => [entry, [-7, 1, null]]) }
      yield [index, JSON.stringify({ text: '', output_ids: tokens.slice(from, index + 1), meta_info: meta })]
    }
  }
  if (kind === 'vllm') yield [tokens.length, JSON.stringify({ choices: [], usage: { prompt_tokens: 3, prompt_tokens_details: { cached_tokens: 3 } } })]
  yield [tokens.length, '[DONE]']
}

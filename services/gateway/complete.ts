import { FinishReason, type GenerateRequest, type ReasoningBudget, type TokenLogprob } from '../../proto/gen/intramuros/v1/inference.ts'
import { type PrepareResponse, TokenizerService, ToolChoice } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import { type Dialect, dialectNamed } from '../shared/dialects/dialect.ts'
import type { OutputPart } from '../shared/dialects/output-part.ts'
import { createOutputParser, type OutputParser } from '../shared/dialects/output-parser.ts'
import { callBeginnings } from '../shared/dialects/tool-call-reader.ts'
import { ServiceError } from '../shared/errors.ts'
import type { CallOptions } from '../shared/rpc/lane-client.ts'
import type { Principal } from './authenticate.ts'
import type { Endpoint, ParsedRequest } from './endpoint.ts'
import type { Answer, Generation, Prompt } from './generation.ts'
import type { Exchange } from './http/exchange.ts'
import { type Gateway, type Job, serveRecorded } from './recorded.ts'
import { recordedParameters } from './recorded-parameters.ts'
import { generationAttributes } from './span-attributes.ts'
import { servedBy } from './tally.ts'

const prepareTimeoutMs = 30_000

/** An answer by a model, whatever API asked for it. */
export function complete(gateway: Gateway, exchange: Exchange, endpoint: Endpoint): Promise<void> {
  return serveRecorded(gateway, exchange, endpoint, (json) => {
    const request = endpoint.parse(json)
    const { generation, unknown } = request
    return {
      model: generation.model,
      stream: generation.stream,
      batch: generation.batch,
      parameters: recordedParameters(generation, json),
      unknown,
      attributes: () => generationAttributes(generation),
      run: (job) => generate(gateway, exchange, request, job),
    }
  })
}

/** Prepares the prompts, generates the choices at once, reads the model's output and writes it in the API's shape. */
async function generate(gateway: Gateway, exchange: Exchange, request: ParsedRequest, job: Job): Promise<() => void> {
  const { generation } = request
  const { call, tally } = job
  const prompts = [generation.prompt, ...(generation.furtherPrompts ?? [])]
  const prepared = await Promise.all(prompts.map((prompt) => prepare(gateway, generation, prompt, call)))
  for (const { tokens } of prepared) tally.inputTokens += tokens.length
  const answer = request.answer(exchange)

  let started = false
  const start = async (): Promise<void> => {
    await job.durable
    if (started) return
    started = true
    tally.firstTokenAt = performance.now()
    answer.start(prepared.map(({ text, tokens }) => ({ text, tokens: tokens.length })))
  }
  const run: Run = { gateway, generation, prepared, answer, job, start: () => (started ? undefined : start()) }
  const choices = generation.choices * prompts.length
  if (choices === 1) await writeChoice(run, 0, call.signal)
  else await writeChoices(run, choices, call.signal)
  return () => answer.finish({ input: tally.inputTokens, cached: tally.cachedTokens, output: tally.outputTokens, reasoning: tally.reasoningTokens })
}

/** The tokens of a prompt, and how the answer is to be constrained and read. `anyLength`: it may be longer than the context, as there is to be no answer. */
export function prepare(gateway: Gateway, { model, maxTokens, format, wantPromptText }: Pick<Generation, 'model' | 'maxTokens' | 'format' | 'wantPromptText'>, prompt: Prompt, call: CallOptions, anyLength = false): Promise<PrepareResponse> {
  const request = { model, prompt, maxTokens, format, wantText: wantPromptText, anyLength, contextLength: gateway.workers.contextLength(model) }
  return gateway.tokenizer.unary(TokenizerService.prepare, request, { ...call, timeoutMs: prepareTimeoutMs })
}

interface Run {
  gateway: Gateway
  generation: Generation
  /** One for each prompt. */
  prepared: readonly PrepareResponse[]
  answer: Answer
  job: Job
  /** To be awaited before anything is written. */
  start(): Promise<void> | undefined
}

/** A worker's queue is for many: one request waits in it with no more than these. */
const mostChoicesAtOnce = 8

/** Some choices at once; when one fails, the others are stopped. */
async function writeChoices(run: Run, count: number, signal: AbortSignal): Promise<void> {
  const others = new AbortController()
  const either = AbortSignal.any([signal, others.signal])
  const left = Array.from({ length: count }, (_, choice) => choice).values()
  const oneAfterTheOther = async (): Promise<void> => {
    for (const choice of left) {
      try {
        await writeChoice(run, choice, either)
      } catch (thrown) {
        others.abort(thrown)
        throw thrown
      }
    }
  }
  const results = await Promise.allSettled(Array.from({ length: Math.min(count, mostChoicesAtOnce) }, oneAfterTheOther))
  // The first to fail told the others why.
  if (results.some(({ status }) => status === 'rejected')) throw others.signal.reason
}

async function writeChoice({ gateway, generation, prepared: all, answer, job, start }: Run, choice: number, signal: AbortSignal): Promise<void> {
  const { call, tally, principal } = job
  const prepared = all[Math.floor(choice / generation.choices)]
  if (prepared === undefined) throw new RangeError('no such prompt')
  const parser = outputParser(generation, prepared)
  const request = generateRequest(generation, prepared, principal, choice % generation.choices)
  const demanded = demandsCall(generation)
  let called = false
  let counted = 0
  let logprobs: TokenLogprob[] = []

  const write = (all: readonly OutputPart[]): Promise<void> | undefined => {
    // Between calls that are demanded stands nothing but what the token limit left of one.
    const parts = demanded ? all.filter(({ kind }) => kind !== 'text') : all
    if (parts.length === 0) return undefined
    for (const part of parts) {
      if (part.kind === 'tool_call') called = true
      else tally.answerBytes += Buffer.byteLength(part.text)
    }
    const told = logprobs
    logprobs = []
    return answer.parts(choice, parts, told)
  }

  for await (const { event } of gateway.workers.generate(request, { ...call, signal, cacheKey: generation.cacheKey }, servedBy(tally))) {
    await start()
    if (event?.$case === 'delta') {
      const { text, tokens, logprobs: told } = event.value
      tally.outputTokens += tokens.length
      counted += tokens.length
      if (told.length > 0) logprobs = [...logprobs, ...told]
      const parts = parser.push(text)
      if (parts[0]?.kind === 'reasoning') tally.reasoningTokens += tokens.length
      await write(parts)
      if (parser.brokenCall) throw brokenCall()
    } else if (event?.$case === 'finish') {
      const { outputTokens, cachedTokens, reason, stopSequence, prefillUs, decodeUs } = event.value
      // Choices of one prompt share it; it is counted once.
      tally.cachedTokens = Math.min(tally.inputTokens, tally.cachedTokens + (choice % generation.choices === 0 ? cachedTokens : 0))
      tally.outputTokens += outputTokens - counted
      tally.workerUs += prefillUs + decodeUs
      // What is held back of an answer that was cut may be the beginning of a call's mark-up, which is never told.
      if (reason !== FinishReason.LENGTH && stopSequence === undefined) {
        await write(parser.end())
        if (parser.brokenCall) throw brokenCall()
      }
      if (logprobs.length > 0) await answer.parts(choice, [], logprobs)
      tally.finishReason = reason === FinishReason.LENGTH ? 'length' : called ? 'tool_calls' : 'stop'
      await answer.endChoice(choice, { finishReason: tally.finishReason, stopSequence })
      return
    }
  }
  throw new ServiceError('UNAVAILABLE', 'answer_cut_short', 'The answer ended before its end.')
}

/** Its beginning is with the client already; it must not take that for a call. */
function brokenCall(): ServiceError {
  return new ServiceError('UNAVAILABLE', 'malformed_tool_call', 'The model began a call of a tool and wrote no valid arguments for it. Try again.')
}

/** Text as it is where no dialect tells otherwise. */
const asText: OutputParser = {
  brokenCall: false,
  push: (text: string): OutputPart[] => (text === '' ? [] : [{ kind: 'text', text }]),
  end: (): OutputPart[] => [],
}

/** Undefined for the empty name: a text has none. */
function dialectOf(name: string): Dialect | undefined {
  return name === '' ? undefined : dialectNamed(name)
}

function outputParser({ prompt }: Generation, { dialect: name, reasoningOpen }: PrepareResponse): OutputParser {
  const dialect = dialectOf(name)
  if (dialect === undefined || prompt.$case !== 'conversation') return asText
  return createOutputParser(dialect, { toolNames: toolNames(prompt.value), reasoningOpen })
}

/** The answer is one or more calls, which the worker sees to. */
function demandsCall({ prompt }: Generation): boolean {
  return prompt.$case === 'conversation' && (prompt.value.toolChoice === ToolChoice.REQUIRED || prompt.value.toolChoice === ToolChoice.NAMED)
}

/** What calls of tools begin with in the model's answer. */
function callMarkers({ prompt }: Generation, { dialect: name }: PrepareResponse): string[] {
  const dialect = dialectOf(name)
  if (dialect === undefined || prompt.$case !== 'conversation' || toolNames(prompt.value).length === 0) return []
  return callBeginnings(dialect)
}

function toolNames({ tools, toolChoice }: { tools: readonly { name: string }[]; toolChoice: number }): string[] {
  return toolChoice === ToolChoice.NONE ? [] : tools.map(({ name }) => name)
}

function generateRequest(generation: Generation, prepared: PrepareResponse, { team, weight, batch }: Principal, choice: number): GenerateRequest {
  const { sampling } = generation
  return {
    model: generation.model,
    team,
    tokens: prepared.tokens,
    maxTokens: prepared.maxTokens,
    sampling: choice === 0 || sampling.seed === undefined ? sampling : { ...sampling, seed: (sampling.seed + choice) % 2 ** 32 },
    // What is demanded to be a call has no text that could be stopped.
    stop: demandsCall(generation) ? [] : generation.stop,
    stopUntil: callMarkers(generation, prepared),
    weight,
    batch: batch || generation.batch,
    visibleTokens: prepared.visibleTokens,
    constraint: prepared.grammar === '' ? undefined : { grammar: prepared.grammar, after: prepared.grammarAfter },
    reasoningBudget: reasoningBudgetOf(generation, prepared),
    ...(generation.topLogprobs === undefined ? {} : { topLogprobs: generation.topLogprobs }),
  }
}

function reasoningBudgetOf({ prompt }: Generation, prepared: PrepareResponse): ReasoningBudget | undefined {
  const tokens = prompt.$case === 'conversation' ? prompt.value.reasoningBudget : undefined
  if (tokens === undefined || prepared.reasoningEnd === '') return undefined
  return { tokens, begin: prepared.reasoningOpen ? '' : prepared.reasoningBegin, end: prepared.reasoningEnd, endTokens: prepared.reasoningEndTokens }
}

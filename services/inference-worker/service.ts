import type {
  EmbedRequest,
  EmbedResponse,
  GenerateEvent,
  GenerateRequest,
  RankRequest,
  RankResponse,
  WatchRequest,
  WorkerState,
} from '../../proto/gen/intramuros/v1/inference.ts'
import { ServiceError } from '../shared/errors.ts'
import { describeError, type Logger } from '../shared/log.ts'
import type { StreamHandler, UnaryHandler } from '../shared/rpc/handler.ts'
import { createConstraints } from './constraints.ts'
import { embed } from './embed.ts'
import type { Engine } from './engines/engine.ts'
import { generate, type RequestContext } from './generate.ts'
import { type LinkedAbort, linkAbort } from './linked-abort.ts'
import type { WorkerMetrics } from './metrics.ts'
import { probe } from './probe.ts'
import { createWorkerLoad } from './load.ts'
import { rank } from './rank.ts'
import { createSlots } from './slots.ts'
import { watch } from './watch.ts'

export interface InferenceOptions {
  /** Most requests that wait for a slot. */
  maxQueued: number
  /** Longest wait for one. */
  queueTimeoutMs: number
  /** A decode step that takes longer means that the engine hangs. */
  stepTimeoutMs: number
  /** How often a free engine must show that it still answers. */
  probeIntervalMs: number
}

export interface InferenceServiceOptions {
  engine: Engine
  options: InferenceOptions
  log: Logger
  metrics: WorkerMetrics
  /** Called once, when a decode step or a probe has passed its time: nothing in this process can end it. */
  onHang(): void
}

export interface InferenceService {
  generate: StreamHandler<GenerateRequest, GenerateEvent>
  embed: UnaryHandler<EmbedRequest, EmbedResponse>
  rank: UnaryHandler<RankRequest, RankResponse>
  watch: StreamHandler<WatchRequest, WorkerState>
  /** True while the model answers: its last probe gave a token, it does not hang, and the worker is not draining. */
  ready(): boolean
  /**
   * Refuses new requests at once, ends the watches, and waits for the others, those in the queue too; what is left when the
   * signal aborts is ended.
   */
  drain(signal: AbortSignal): Promise<void>
  /** Ends what is left and closes the engine. */
  close(): Promise<void>
}

/** Tokens: more than what chat templates begin with. */
const leastKept = 16

/** How often the engine is looked at. */
const tickMs = 250
/** How soon after a failure a server elsewhere is tried again. */
const retryMs = 1000

export function createInferenceService({ engine, options, log, metrics, onHang }: InferenceServiceOptions): InferenceService {
  const generating = engine.kind === 'generating' ? engine : undefined
  const slots = createSlots({
    count: engine.slots,
    spare: generating?.spareSlots ?? 0,
    maxQueued: options.maxQueued,
    queueTimeoutMs: options.queueTimeoutMs,
    leastKept,
    keepable: (index, count) => (engine.kind === 'remote' ? count : (generating?.keepable(index, count) ?? 0)),
    now: () => performance.now(),
  })
  const load = createWorkerLoad()
  const calls = new Set<LinkedAbort>()
  const watches = new Set<LinkedAbort>()
  const context: RequestContext = { engine, slots, load, log, metrics, admit, onEngineFailure }
  const constraints = engine.kind === 'generating' || engine.kind === 'remote' ? createConstraints(engine) : undefined
  const probing = new AbortController()
  let answers = false
  let hangs = false
  let draining = false
  let probedSince: number | undefined
  let nextProbe = 0
  let onCallEnd: (() => void) | undefined

  const showSlots = (): void => {
    metrics.busySlots.set(slots.running)
    metrics.queued.set(slots.queued)
  }
  metrics.slots.set(slots.count)
  showSlots()
  slots.subscribe(showSlots)
  metrics.showTokensInFlight(() => load.tokensInFlight)

  function admit(): void {
    if (draining) throw new ServiceError('UNAVAILABLE', 'draining', 'This worker is stopping. Try again.', { retryAfterMs: 1000 })
    if (!answers || hangs)
      throw new ServiceError('UNAVAILABLE', 'engine_failed', 'The model does not answer at the moment. Try again soon.', {
        retryAfterMs: 2000,
      })
  }

  async function runProbe(): Promise<void> {
    const slot = slots.borrow()
    if (slot === undefined) return
    probedSince = performance.now()
    const failed = await probe(engine, slot.index, probing.signal).then(
      () => undefined,
      (thrown: unknown) => ({ thrown }),
    )
    slot.giveBack()
    probedSince = undefined
    // Of a server that was restarted nobody tells that it is back.
    nextProbe = performance.now() + (failed !== undefined && engine.upstream !== undefined ? Math.min(retryMs, options.probeIntervalMs) : options.probeIntervalMs)
    if (probing.signal.aborted) return
    if (failed !== undefined) {
      if (answers) stopWatches()
      log.error({ err: describeError(failed.thrown) }, 'the model does not answer')
    } else if (!answers) {
      log.info({ model: engine.model }, 'the model answers')
    }
    answers = failed === undefined
  }

  function tick(): void {
    const now = performance.now()
    // To end this process would not help a server elsewhere; a probe of that ends by itself.
    const probeMs = probedSince === undefined || engine.upstream !== undefined ? 0 : now - probedSince
    const stuckMs = Math.max(engine.stepMs(), probeMs)
    if (!hangs && stuckMs > options.stepTimeoutMs) {
      hangs = true
      log.error({ stuckMs: Math.round(stuckMs) }, 'the engine hangs')
      stopWatches()
      onHang()
    }
    if (engine.upstream?.up === false) {
      if (answers) stopWatches()
      answers = false
      nextProbe = 0
      return
    }
    // Requests under way show as much as a probe does, which would wait behind them.
    if (probedSince === undefined && slots.running === 0 && now >= nextProbe) void runProbe()
  }

  function onEngineFailure(): void {
    nextProbe = 0
  }

  function stopWatches(): void {
    for (const open of watches) open.abort(undefined)
  }

  async function* linked<T>(
    open: Set<LinkedAbort>,
    signal: AbortSignal,
    run: (signal: AbortSignal) => AsyncIterable<T>,
  ): AsyncGenerator<T, void, undefined> {
    using link = linkAbort(signal)
    open.add(link)
    try {
      yield* run(link.signal)
    } finally {
      open.delete(link)
      onCallEnd?.()
    }
  }

  async function linkedUnary<T>(signal: AbortSignal, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    using link = linkAbort(signal)
    calls.add(link)
    try {
      return await run(link.signal)
    } finally {
      calls.delete(link)
      onCallEnd?.()
    }
  }

  /** Resolves when no request is left; false when the signal aborts first. */
  function idle(signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (calls.size > 0 && !signal.aborted) return
        onCallEnd = undefined
        signal.removeEventListener('abort', look)
        resolve(calls.size === 0)
      }
      onCallEnd = look
      signal.addEventListener('abort', look)
      look()
    })
  }

  function endCalls(): void {
    for (const call of calls)
      call.abort(new ServiceError('UNAVAILABLE', 'draining', 'This worker is stopping. Try again.', { retryAfterMs: 1000 }))
  }

  const ticking = setInterval(tick, tickMs)
  tick()

  return {
    generate: (request, call) =>
      linked(calls, call.signal, (signal) => generate(context, constraints, request, { ...call, signal })),
    embed: (request, call) => linkedUnary(call.signal, (signal) => embed(context, request, { ...call, signal })),
    rank: (request, call) => linkedUnary(call.signal, (signal) => rank(context, request, { ...call, signal })),
    watch: (_request, call) =>
      linked(watches, call.signal, (signal) => {
        admit()
        return watch({ engine, slots, load }, signal)
      }),
    ready: () => answers && !hangs && !draining,
    async drain(signal) {
      draining = true
      stopWatches()
      if (await idle(signal)) return
      log.warn({ running: slots.running, queued: slots.queued }, 'ending requests that did not end in time')
      endCalls()
    },
    async close() {
      draining = true
      clearInterval(ticking)
      probing.abort()
      endCalls()
      stopWatches()
      await engine.close()
    },
  }
}

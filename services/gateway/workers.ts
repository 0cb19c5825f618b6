import { hash } from 'node:crypto'
import { type EmbedRequest, type EmbedResponse, type GenerateEvent, type GenerateRequest, InferenceService, type RankRequest, type RankResponse, type WorkerState } from '../../proto/gen/intramuros/v1/inference.ts'
import { asServiceError, ServiceError } from '../shared/errors.ts'
import type { Logger } from '../shared/log.ts'
import type { CallOptions, LaneClient } from '../shared/rpc/lane-client.ts'

export interface Workers {
  /** Models that some worker serves right now. */
  serves(model: string): boolean
  /**
   * Streams an answer from the least busy worker of the model. A worker that is lost or refuses before its first event is
   * replaced by the next; after that the failure is the stream's. `onWorker` is told who works on it.
   * Throws UNAVAILABLE no_worker when none is left.
   */
  generate(request: GenerateRequest, options: GenerateOptions, onWorker: (address: string) => void): AsyncGenerator<GenerateEvent, void, undefined>
  /** As generate, but whole. */
  embed(request: EmbedRequest, options: CallOptions, onWorker: (address: string) => void): Promise<EmbedResponse>
  /** As embed. */
  rank(request: RankRequest, options: CallOptions, onWorker: (address: string) => void): Promise<RankResponse>
  close(): void
}

export interface GenerateOptions extends CallOptions {
  /** Of equally busy workers, requests of one team with the same hint meet on the same. Empty for none. */
  cacheKey: string
}

interface Worker {
  lane: LaneClient
  /** Unset while the worker is away or has not told yet. */
  state: WorkerState | undefined
  /** Requests of this gateway that it works on; fresher than its own word. */
  inFlight: number
}

export type WorkersOptions = {
  /** Connects to one worker; `onStateChange` must be called when the lane comes up or goes down. */
  connect(address: string, onStateChange: (up: boolean) => void): LaneClient
  addresses: readonly string[]
  log: Logger
}

/** A batch on a slow CPU, behind a full queue. */
const embedTimeoutMs = 300_000

export function createWorkers({ connect, addresses, log }: WorkersOptions): Workers {
  const stopping = new AbortController()
  const workers = addresses.map((address) => {
    const worker: Worker = { lane: connect(address, (up) => void (up ? watch(worker) : forget(worker))), state: undefined, inFlight: 0 }
    return worker
  })

  async function watch(worker: Worker): Promise<void> {
    try {
      for await (const state of worker.lane.stream(InferenceService.watch, {}, { requestId: '', signal: stopping.signal })) {
        if (worker.state?.model !== state.model) log.info({ worker: worker.lane.address, model: state.model, slots: state.slots }, 'worker ready')
        worker.state = state
      }
    } catch {
      // The lane was lost: onStateChange comes again when it is back.
    }
    forget(worker)
    // The stream may end while the lane stays, for example when the worker begins to drain.
    if (worker.lane.up && !stopping.signal.aborted) setTimeout(() => void (worker.lane.up && watch(worker)), 1000)
  }

  function forget(worker: Worker): void {
    worker.state = undefined
  }

  function choose(model: string, hint: string, tried: ReadonlySet<Worker>): Worker | undefined {
    let best: Worker | undefined
    let bestLoad = Number.POSITIVE_INFINITY
    let bestRank = ''
    for (const worker of workers) {
      if (worker.state?.model !== model || !worker.lane.up || tried.has(worker)) continue
      // Others' requests count as the worker told them; ours as we know them.
      const load = Math.max(worker.inFlight, worker.state.running + worker.state.queued) / worker.state.slots
      if (load > bestLoad) continue
      const rank = hint === '' ? '' : hash('sha1', `${hint}\n${worker.lane.address}`)
      if (load === bestLoad && rank <= bestRank) continue
      best = worker
      bestLoad = load
      bestRank = rank
    }
    return best
  }

  /**
   * Calls the workers of a model, one after the other, until one has begun to answer. Throws what the last one failed with, or
   * UNAVAILABLE no_worker.
   */
  async function* tryEach<Event>(
    { model, hint }: { model: string; hint: string },
    { requestId, signal }: CallOptions,
    onWorker: (address: string) => void,
    call: (lane: LaneClient) => AsyncIterable<Event>,
  ): AsyncGenerator<Event, void, undefined> {
    const tried = new Set<Worker>()
    let last: ServiceError | undefined
    for (;;) {
      const worker = choose(model, hint, tried)
      if (worker === undefined) throw last ?? new ServiceError('UNAVAILABLE', 'no_worker', 'The model is not available at the moment. Try again soon.', { retryAfterMs: 2000 })
      tried.add(worker)
      worker.inFlight += 1
      onWorker(worker.lane.address)
      let started = false
      try {
        for await (const event of call(worker.lane)) {
          started = true
          yield event
        }
        return
      } catch (thrown) {
        const failure = asServiceError(thrown)
        const another = !started && !signal.aborted && (failure.code === 'UNAVAILABLE' || failure.code === 'RESOURCE_EXHAUSTED')
        if (!another) throw failure
        last = failure
        log.warn({ requestId, worker: worker.lane.address, reason: failure.reason }, 'worker failed before its first token')
      } finally {
        worker.inFlight -= 1
      }
    }
  }

  return {
    serves: (model) => workers.some((worker) => worker.state?.model === model),
    generate: (request, options, onWorker) =>
      tryEach({ model: request.model, hint: options.cacheKey === '' ? '' : `${request.team}\n${options.cacheKey}` }, options, onWorker, (lane) => lane.stream(InferenceService.generate, request, options)),
    async embed(request, options, onWorker) {
      const once = async function* (lane: LaneClient): AsyncGenerator<EmbedResponse> {
        yield await lane.unary(InferenceService.embed, request, { ...options, timeoutMs: embedTimeoutMs })
      }
      for await (const response of tryEach({ model: request.model, hint: '' }, options, onWorker, once)) return response
      throw new ServiceError('UNAVAILABLE', 'answer_cut_short', 'The answer ended before its end.')
    },
    async rank(request, options, onWorker) {
      const once = async function* (lane: LaneClient): AsyncGenerator<RankResponse> {
        yield await lane.unary(InferenceService.rank, request, { ...options, timeoutMs: embedTimeoutMs })
      }
      for await (const response of tryEach({ model: request.model, hint: '' }, options, onWorker, once)) return response
      throw new ServiceError('UNAVAILABLE', 'answer_cut_short', 'The answer ended before its end.')
    },
    close() {
      stopping.abort(new ServiceError('CANCELLED', 'closing', 'The gateway is closing.'))
      for (const worker of workers) worker.lane.close()
    },
  }
}

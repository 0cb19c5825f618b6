import { type EmbedRequest, type EmbedResponse, type GenerateEvent, type GenerateRequest, InferenceService, type PrefixDelta, type RankRequest, type RankResponse, type WorkerState } from '../../proto/gen/intramuros/v1/inference.ts'
import { asServiceError, ServiceError } from '../shared/errors.ts'
import type { Logger } from '../shared/log.ts'
import type { CallOptions, LaneClient } from '../shared/rpc/lane-client.ts'
import { chooseWorker, type Wanted } from './choose-worker.ts'

export interface Workers {
  /** From now on these are the workers. One that is no longer among them gets no new requests, and its lane is closed once those under way have ended. */
  set(addresses: readonly string[]): void
  /** Models that some worker serves right now. */
  serves(model: string): boolean
  /** Tokens that each slot of the model's workers holds; undefined while none has told. */
  contextLength(model: string): number | undefined
  /**
   * Streams an answer from a worker of the model: one that holds the prompt's beginning, or the least busy. A worker that is lost or refuses before its first event is
   * replaced by the next; after that the failure is the stream's. `onWorker` is told who works on it.
   * Throws UNAVAILABLE no_worker when none is left.
   */
  generate(request: GenerateRequest, options: GenerateOptions, onWorker: (address: string, version: string) => void): AsyncGenerator<GenerateEvent, void, undefined>
  /** As generate, but whole. */
  embed(request: EmbedRequest, options: CallOptions, onWorker: (address: string, version: string) => void): Promise<EmbedResponse>
  /** As embed. */
  rank(request: RankRequest, options: CallOptions, onWorker: (address: string, version: string) => void): Promise<RankResponse>
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
  /** What its slots hold, as it told. */
  prefixes: Set<bigint>
  /** It is no worker any more, and only ends what it has. */
  leaving: boolean
}

export type WorkersOptions = {
  /** Connects to one worker; `onStateChange` must be called when the lane comes up or goes down. */
  connect(address: string, onStateChange: (up: boolean) => void): LaneClient
  addresses: readonly string[]
  log: Logger
  /** A worker can be used from now on, or no longer. */
  onChange?: (worker: KnownWorker, event: 'joined' | 'left') => void
}

export interface KnownWorker {
  address: string
  model: string
  version: string
}

/** A batch on a slow CPU, behind a full queue. */
const embedTimeoutMs = 300_000

export function createWorkers({ connect, addresses, log, onChange }: WorkersOptions): Workers {
  const stopping = new AbortController()
  const workers = new Map<string, Worker>()

  function set(wanted: readonly string[]): void {
    for (const worker of workers.values()) {
      worker.leaving = !wanted.includes(worker.lane.address)
      closeWhenIdle(worker)
    }
    for (const address of wanted) {
      if (workers.has(address)) continue
      const worker: Worker = { lane: connect(address, (up) => void (up ? watch(worker) : forget(worker))), state: undefined, inFlight: 0, prefixes: new Set(), leaving: false }
      workers.set(address, worker)
    }
  }

  function closeWhenIdle(worker: Worker): void {
    if (!worker.leaving || worker.inFlight > 0 || workers.get(worker.lane.address) !== worker) return
    workers.delete(worker.lane.address)
    worker.lane.close()
  }

  async function watch(worker: Worker): Promise<void> {
    try {
      for await (const state of worker.lane.stream(InferenceService.watch, {}, { requestId: '', signal: stopping.signal })) {
        if (worker.state?.model !== state.model) log.info({ worker: worker.lane.address, model: state.model, slots: state.slots }, 'worker ready')
        if (worker.state?.model !== state.model) {
          forget(worker)
          onChange?.({ address: worker.lane.address, model: state.model, version: versionOf(state) }, 'joined')
        }
        worker.state = state
        follow(worker.prefixes, state.prefixes)
      }
    } catch {
      // The lane was lost: onStateChange comes again when it is back.
    }
    forget(worker)
    // The stream may end while the lane stays, for example when the worker begins to drain.
    if (worker.lane.up && !stopping.signal.aborted) setTimeout(() => void (worker.lane.up && watch(worker)), 1000)
  }

  function forget(worker: Worker): void {
    const { state } = worker
    worker.state = undefined
    worker.prefixes.clear()
    if (state !== undefined && !stopping.signal.aborted) onChange?.({ address: worker.lane.address, model: state.model, version: versionOf(state) }, 'left')
  }

  function choose(model: string, wanted: Wanted, tried: ReadonlySet<Worker>): Worker | undefined {
    const candidates = [...workers.values()].flatMap((worker) => {
      const { lane, state, inFlight, prefixes, leaving } = worker
      if (state?.model !== model || !lane.up || leaving || tried.has(worker)) return []
      // Others' requests count as the worker told them; ours as we know them.
      return [{ worker, address: lane.address, slots: state.slots, requests: Math.max(inFlight, state.running + state.queued), prefixes }]
    })
    return chooseWorker(candidates, wanted)?.worker
  }

  /**
   * Calls the workers of a model, one after the other, until one has begun to answer. Throws what the last one failed with, or
   * UNAVAILABLE no_worker.
   */
  async function* tryEach<Event>(
    model: string,
    wanted: Wanted,
    { requestId, signal }: CallOptions,
    onWorker: (address: string, version: string) => void,
    call: (lane: LaneClient) => AsyncIterable<Event>,
  ): AsyncGenerator<Event, void, undefined> {
    const tried = new Set<Worker>()
    let last: ServiceError | undefined
    let lost = 0
    for (;;) {
      const worker = choose(model, wanted, tried)
      if (worker === undefined) throw last ?? new ServiceError('UNAVAILABLE', 'no_worker', 'The model is not available at the moment. Try again soon.', { retryAfterMs: 2000 })
      tried.add(worker)
      worker.inFlight += 1
      onWorker(worker.lane.address, versionOf(worker.state))
      let started = false
      try {
        for await (const event of call(worker.lane)) {
          started = true
          yield event
        }
        return
      } catch (thrown) {
        const failure = asServiceError(thrown)
        // A request that two workers died of is not tried on a third: it may be what they died of.
        if (failure.reason === 'peer_lost') lost += 1
        const another = !started && !signal.aborted && lost < 2 && (failure.code === 'UNAVAILABLE' || failure.code === 'RESOURCE_EXHAUSTED')
        if (!another) throw failure
        last = failure
        log.warn({ requestId, worker: worker.lane.address, reason: failure.reason }, 'worker failed before its first token')
      } finally {
        worker.inFlight -= 1
        closeWhenIdle(worker)
      }
    }
  }

  /** An answer of one piece, from the least busy worker. */
  async function whole<Response>(
    { model, team }: { model: string; team: string },
    options: CallOptions,
    onWorker: (address: string, version: string) => void,
    call: (lane: LaneClient, options: CallOptions & { timeoutMs: number }) => Promise<Response>,
  ): Promise<Response> {
    const once = async function* (lane: LaneClient): AsyncGenerator<Response> {
      yield await call(lane, { ...options, timeoutMs: embedTimeoutMs })
    }
    for await (const response of tryEach(model, { team, tokens: [], cacheKey: '' }, options, onWorker, once)) return response
    throw new ServiceError('UNAVAILABLE', 'answer_cut_short', 'The answer ended before its end.')
  }

  set(addresses)
  return {
    set,
    serves: (model) => [...workers.values()].some(({ state, leaving }) => state?.model === model && !leaving),
    contextLength(model) {
      const lengths = [...workers.values()].flatMap(({ state }) => (state?.model === model ? [state.contextLength] : []))
      return lengths.length === 0 ? undefined : Math.min(...lengths)
    },
    generate: (request, options, onWorker) =>
      tryEach(request.model, { team: request.team, tokens: request.tokens, cacheKey: options.cacheKey }, options, onWorker, (lane) => lane.stream(InferenceService.generate, request, options)),
    embed: (request, options, onWorker) => whole(request, options, onWorker, (lane, call) => lane.unary(InferenceService.embed, request, call)),
    rank: (request, options, onWorker) => whole(request, options, onWorker, (lane, call) => lane.unary(InferenceService.rank, request, call)),
    close() {
      stopping.abort(new ServiceError('CANCELLED', 'closing', 'The gateway is closing.'))
      for (const { lane } of workers.values()) lane.close()
    },
  }
}

function follow(prefixes: Set<bigint>, delta: PrefixDelta | undefined): void {
  if (delta === undefined) return
  if (delta.reset) prefixes.clear()
  for (const one of delta.removed) prefixes.delete(one)
  for (const one of delta.added) prefixes.add(one)
}

/** Empty for a worker that does not tell, or tells what is no version. */
function versionOf(state: WorkerState | undefined): string {
  return /^[A-Za-z0-9.+-]{1,64}$/.test(state?.version ?? '') ? (state?.version ?? '') : ''
}

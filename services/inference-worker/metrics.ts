import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** How a request ended; `done` is an embedding. */
export type Outcome = 'stop' | 'length' | 'done' | 'cancelled' | 'refused' | 'failed'

export type WorkerMetrics = ReturnType<typeof createMetrics>

const latency = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

export function createMetrics(registry: Registry) {
  const registers = [registry]
  return {
    requests: new Counter({
      name: 'intramuros_worker_requests_total',
      help: 'Requests by outcome: stop, length, done (embeddings), cancelled, refused, failed.',
      labelNames: ['outcome'],
      registers,
    }),
    tokens: new Counter({
      name: 'intramuros_worker_tokens_total',
      help: 'Tokens by direction: input (of prompts, evaluated), cached (of prompts, held by the slot), output (sampled).',
      labelNames: ['direction'],
      registers,
    }),
    queue: new Histogram({ name: 'intramuros_worker_queue_seconds', help: 'Waiting for a slot.', buckets: latency, registers }),
    prefill: new Histogram({
      name: 'intramuros_worker_prefill_seconds',
      help: 'From getting a slot to the first token.',
      buckets: latency,
      registers,
    }),
    interToken: new Histogram({
      name: 'intramuros_worker_inter_token_seconds',
      help: 'ITL: between two tokens of a request.',
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1],
      registers,
    }),
    slots: new Gauge({ name: 'intramuros_worker_slots', help: 'Requests that can be decoded at once.', registers }),
    busySlots: new Gauge({ name: 'intramuros_worker_busy_slots', help: 'Slots that a request holds.', registers }),
    queued: new Gauge({ name: 'intramuros_worker_queued_requests', help: 'Requests waiting for a slot.', registers }),
    /** Asked when metrics are read, so that it costs nothing a token. */
    showTokensInFlight(count: () => number): void {
      new Gauge({
        name: 'intramuros_worker_tokens_in_flight',
        help: 'Of the requests that have a slot: tokens that are left to evaluate, or may still be decoded.',
        registers,
        collect() {
          this.set(count())
        },
      })
    },
  }
}

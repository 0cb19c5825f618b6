import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { Admission } from './admission.ts'

export type GatewayMetrics = ReturnType<typeof createMetrics>

const latency = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

export function createMetrics(registry: Registry, admission: Admission) {
  const registers = [registry]
  new Gauge({
    name: 'intramuros_gateway_running_requests',
    help: 'Admitted requests under way.',
    registers,
    collect() {
      this.set(admission.running)
    },
  })
  new Gauge({
    name: 'intramuros_gateway_queued_requests',
    help: 'Requests waiting for their turn.',
    registers,
    collect() {
      this.set(admission.queued)
    },
  })
  return {
    requests: new Counter({ name: 'intramuros_gateway_requests_total', help: 'HTTP requests answered, by route and status.', labelNames: ['route', 'status'], registers }),
    seconds: new Histogram({ name: 'intramuros_gateway_request_seconds', help: 'From the request to the end of its answer.', labelNames: ['route'], buckets: latency, registers }),
    firstToken: new Histogram({ name: 'intramuros_gateway_time_to_first_token_seconds', help: 'TTFT: from the request to the first piece of its answer.', labelNames: ['model'], buckets: latency, registers }),
    interToken: new Histogram({
      name: 'intramuros_gateway_inter_token_seconds',
      help: 'ITL: mean time between the tokens of an answer after its first.',
      labelNames: ['model'],
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1],
      registers,
    }),
    tokens: new Counter({ name: 'intramuros_gateway_tokens_total', help: 'Tokens, by model and direction (input, output).', labelNames: ['model', 'direction'], registers }),
    unrecorded: new Counter({ name: 'intramuros_gateway_unrecorded_requests_total', help: 'Requests that were answered while the ledger had no record of them (audit.onFailure: allow).', registers }),
    eventsDropped: new Counter({ name: 'intramuros_gateway_audit_events_dropped_total', help: 'Events that could not be kept until the ledger took them, by kind.', labelNames: ['event'], registers }),
    outcomes: new Counter({ name: 'intramuros_gateway_completions_total', help: 'Recorded requests, by model and outcome.', labelNames: ['model', 'outcome'], registers }),
  }
}

import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { RetentionMetrics } from './retention/start-retention.ts'
import type { LogMetrics } from './sequencer.ts'

export interface AuditMetrics extends LogMetrics, RetentionMetrics {
  openRequests: Gauge
}

export function createMetrics(registry: Registry): AuditMetrics {
  const registers = [registry]
  const records = new Counter({
    name: 'intramuros_audit_records_total',
    help: 'Records made durable, by type; request.interrupted for the end of a request that died.',
    labelNames: ['type'],
    registers,
  })
  const refused = new Counter({ name: 'intramuros_audit_refused_total', help: 'Appends that were refused because the log could not be written in time.', registers })
  const groupRecords = new Histogram({
    name: 'intramuros_audit_group_records',
    help: 'Records that one commit made durable.',
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 1024],
    registers,
  })
  const append = new Histogram({
    name: 'intramuros_audit_append_seconds',
    help: 'Time to commit one group of records.',
    buckets: [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2],
    registers,
  })
  const logRecords = new Gauge({ name: 'intramuros_audit_log_records', help: 'Records in the log, those included that were pruned.', registers })
  const bytes = new Counter({ name: 'intramuros_audit_bytes_total', help: 'Bytes of records made durable.', registers })
  const pruned = new Counter({ name: 'intramuros_audit_pruned_total', help: 'Records that were dropped because of their age, by class.', labelNames: ['class'], registers })
  const pruneFailed = new Counter({ name: 'intramuros_audit_prune_failures_total', help: 'Runs that could not drop all old records; each is tried again.', registers })
  return {
    openRequests: new Gauge({
      name: 'intramuros_audit_open_requests',
      help: 'Requests whose end is not recorded yet.',
      registers,
    }),
    group({ entries, seconds, size, bytes: written }) {
      const counts = new Map<string, number>()
      for (const entry of entries) {
        const type = entry.type === 'request.end' && entry.outcome === 'interrupted' ? 'request.interrupted' : entry.type
        counts.set(type, (counts.get(type) ?? 0) + 1)
      }
      for (const [type, count] of counts) records.inc({ type }, count)
      groupRecords.observe(entries.length)
      append.observe(seconds)
      logRecords.set(size)
      bytes.inc(written)
    },
    refused: () => refused.inc(),
    pruned: (of, entries) => pruned.inc({ class: of }, entries),
    pruneFailed: () => pruneFailed.inc(),
  }
}

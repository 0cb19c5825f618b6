import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { LogMetrics } from './log/log.ts'

export interface AuditMetrics extends LogMetrics {
  openRequests: Gauge
}

export function createMetrics(registry: Registry): AuditMetrics {
  const registers = [registry]
  const records = new Counter({
    name: 'intramuros_audit_records_total',
    help: 'Records made durable, by type: begin, end, or interrupted for the end of a request that died.',
    labelNames: ['type'],
    registers,
  })
  const groupRecords = new Histogram({
    name: 'intramuros_audit_group_records',
    help: 'Records that one write and sync made durable.',
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 1024],
    registers,
  })
  const append = new Histogram({
    name: 'intramuros_audit_append_seconds',
    help: 'Time to write and sync one group of records.',
    buckets: [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2],
    registers,
  })
  const logBytes = new Gauge({ name: 'intramuros_audit_log_bytes', help: 'Size of the log.', registers })
  return {
    openRequests: new Gauge({
      name: 'intramuros_audit_open_requests',
      help: 'Requests whose end is not recorded yet.',
      registers,
    }),
    group({ entries, seconds, logBytes: bytes }) {
      let begun = 0
      let interrupted = 0
      for (const entry of entries) {
        if (entry.type === 'begin') begun += 1
        else if (entry.outcome === 'interrupted') interrupted += 1
      }
      if (begun > 0) records.inc({ type: 'begin' }, begun)
      if (interrupted > 0) records.inc({ type: 'interrupted' }, interrupted)
      if (entries.length > begun + interrupted) records.inc({ type: 'end' }, entries.length - begun - interrupted)
      groupRecords.observe(entries.length)
      append.observe(seconds)
      logBytes.set(bytes)
    },
  }
}

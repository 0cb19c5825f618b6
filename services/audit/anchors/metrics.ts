import { Counter, Gauge, type Registry } from 'prom-client'
import type { CopyMetrics } from './copies.ts'
import type { WitnessMetrics } from './witnesses.ts'

export interface AnchorMetricsOptions {
  registry: Registry
  witnesses: readonly string[]
  anchors: readonly string[]
  /** Milliseconds since 1970. */
  clock: () => number
}

/** The ages begin with the start of the service, so that what never worked is seen to be old as well. */
export function createAnchorMetrics({ registry, witnesses, anchors, clock }: AnchorMetricsOptions): { witness: WitnessMetrics; copy: CopyMetrics } {
  const witness = createSet('witness', witnesses, {
    age: 'Seconds since a witness has last cosigned what was then the newest checkpoint.',
    size: 'Records of the log that a witness has cosigned last.',
    failures: 'Tries to get a cosignature that failed.',
    alarm: 'Times that a witness said that the log is not the one that it knows.',
  })
  const anchor = createSet('anchor', anchors, {
    age: 'Seconds since a write-once place is last known to have had what was then the newest checkpoint.',
    size: 'Records of the log in the newest checkpoint that a write-once place has.',
    failures: 'Tries to copy a checkpoint that failed.',
    alarm: 'Times that a write-once place was found to have a checkpoint that is not of this log.',
  })
  return {
    witness: { cosigned: witness.current, failed: witness.failed, alarm: witness.alarm },
    copy: { current: anchor.current, failed: anchor.failed, alarm: anchor.alarm },
  }

  function createSet(what: 'witness' | 'anchor', names: readonly string[], help: { age: string; size: string; failures: string; alarm: string }): CopyMetrics {
    const labels = { labelNames: [what], registers: [registry] }
    const since = new Map(names.map((name) => [name, clock()]))
    const size = new Gauge({ name: `intramuros_audit_${what}_size`, help: help.size, ...labels })
    const failures = new Counter({ name: `intramuros_audit_${what}_failures_total`, help: help.failures, ...labels })
    const alarms = new Counter({ name: `intramuros_audit_${what}_alarms_total`, help: help.alarm, ...labels })
    const age = new Gauge({
      name: `intramuros_audit_${what}_age_seconds`,
      help: help.age,
      ...labels,
      collect: () => since.forEach((at, name) => age.set({ [what]: name }, Math.max(0, (clock() - at) / 1000))),
    })
    for (const name of names) {
      size.set({ [what]: name }, 0)
      failures.inc({ [what]: name }, 0)
      alarms.inc({ [what]: name }, 0)
    }
    return {
      current(name, at) {
        since.set(name, at.atMs)
        size.set({ [what]: name }, at.size)
      },
      failed: (name) => failures.inc({ [what]: name }),
      alarm: (name) => alarms.inc({ [what]: name }),
    }
  }
}

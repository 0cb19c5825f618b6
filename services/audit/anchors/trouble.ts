import type { Logger } from '../../shared/log.ts'

/** How often trouble that lasts is told again. */
const reminderMs = 3_600_000

export interface Trouble {
  /** A try that failed. `alarm`: it may be that the log was tampered with. */
  failed(what: string, options: { alarm: boolean }): void
  succeeded(): void
}

export interface TroubleOptions {
  /** In each line: which one it is. */
  fields: Readonly<Record<string, string>>
  texts: { alarm: string; warning: string; over: string }
  log: Logger
  clock: () => number
}

/** Tells of what fails again and again: when it begins, when it changes, each hour, and when it is over. */
export function createTrouble({ fields, texts, log, clock }: TroubleOptions): Trouble {
  let told: { what: string; since: number; at: number; failures: number } | undefined
  return {
    failed(what, { alarm }) {
      const now = clock()
      const since = told?.since ?? now
      const failures = (told?.failures ?? 0) + 1
      const isNew = told === undefined || told.what !== what || now - told.at >= reminderMs
      told = { what, since, at: isNew ? now : (told?.at ?? now), failures }
      if (!isNew) return
      const line = { ...fields, what, failures, sinceSeconds: Math.round((now - since) / 1000) }
      if (alarm) log.error(line, texts.alarm)
      else log.warn(line, texts.warning)
    },
    succeeded() {
      if (told !== undefined) log.info({ ...fields, failures: told.failures, afterSeconds: Math.round((clock() - told.since) / 1000) }, texts.over)
      told = undefined
    },
  }
}

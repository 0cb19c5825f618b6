import { Counter, Gauge, type Registry } from 'prom-client'
import { asServiceError, ServiceError } from '../shared/errors.ts'
import { describeError, type Logger } from '../shared/log.ts'
import { decodeRecord, type EntryOf } from './records/record.ts'

export type IsolationCheck = EntryOf<'isolation.checked'>

export interface IsolationChecksOptions {
  /** The bytes of the newest record of a check that is in the log; undefined when there is none. */
  newest(signal: AbortSignal): Promise<Uint8Array | undefined>
  registry: Registry
  log: Logger
  /** Milliseconds since 1970. */
  clock(): number
}

/** What checks of the walls have found: the newest one's is told to whoever watches the metrics, and each is compared to the one before. */
export interface IsolationChecks {
  /** The check, compared to the one before. Throws UNAVAILABLE index_unavailable where that can't be found. */
  compare(check: IsolationCheck, signal: AbortSignal): Promise<IsolationCheck>
  /** It is in the log. */
  recorded(check: IsolationCheck): void
  /** Looks for the newest check, so that the metrics have it. */
  restore(signal: AbortSignal): Promise<void>
}

export function createIsolationChecks({ newest, registry, log, clock }: IsolationChecksOptions): IsolationChecks {
  const registers = [registry]
  const violations = new Gauge({ name: 'intramuros_isolation_violations', help: 'Attempts of the newest isolation check that got through to what they must not reach.', registers })
  const unproven = new Gauge({ name: 'intramuros_isolation_unproven', help: '1 while the newest isolation check could not say that the walls hold.', registers })
  const checked = new Gauge({ name: 'intramuros_isolation_checked_timestamp_seconds', help: 'When the newest isolation check was recorded; 0: none was.', registers })
  const changes = new Counter({ name: 'intramuros_isolation_changes_total', help: 'Isolation checks that found something else than the one before.', registers })
  let last: IsolationCheck | undefined
  let restoring: Promise<void> | undefined

  function take(check: IsolationCheck, atMs: number): void {
    last = check
    violations.set(check.violations)
    unproven.set(check.outcome === 'unproven' ? 1 : 0)
    checked.set(atMs / 1000)
  }

  async function find(signal: AbortSignal): Promise<void> {
    const bytes = await newest(signal)
    const record = bytes && decodeRecord(bytes)
    if (last === undefined && record?.type === 'isolation.checked') take(record, Date.parse(record.at))
  }

  async function restore(signal: AbortSignal): Promise<void> {
    restoring ??= find(signal)
    try {
      await restoring
    } catch (thrown) {
      restoring = undefined // the next one tries again
      throw thrown
    }
  }

  return {
    async compare(check, signal) {
      if (last === undefined) {
        await restore(signal).catch((thrown: unknown) => {
          log.warn({ err: describeError(asServiceError(thrown)) }, 'the isolation check before could not be found')
          throw new ServiceError('UNAVAILABLE', 'index_unavailable', 'The isolation check before can not be found at the moment.', { retryAfterMs: 1000 })
        })
      }
      return { ...check, compared: last === undefined ? 'first' : gist(last) === gist(check) ? 'same' : 'changed' }
    },
    recorded(check) {
      take(check, clock())
      if (check.compared === 'changed') changes.inc()
      const { outcome, compared, violations: count, report } = check
      const told = { outcome, compared, violations: count, report }
      if (outcome === 'violated') log.error(told, 'isolation check: THE WALLS ARE OPEN')
      else if (outcome === 'unproven' || compared === 'changed') log.warn(told, 'isolation check')
      else log.info(told, 'isolation check')
    },
    restore,
  }
}

/** What a change is told of: counts differ with the number of pods, and are none. */
function gist({ outcome, components, problems }: IsolationCheck): string {
  return JSON.stringify([outcome, components.toSorted(), problems.map(({ component, kind, verdict }) => `${component} ${kind} ${verdict}`).toSorted()])
}

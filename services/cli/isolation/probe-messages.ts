import { type ProbeObservation, ProbeMethod, ProbeResult, type ProbeTarget } from '../../../proto/gen/intramuros/v1/probe.ts'
import { ServiceError } from '../../shared/errors.ts'
import type { Observation, Result } from '../../shared/isolation/observation.ts'
import { isTarget, type Method, type Target } from '../../shared/isolation/target.ts'

const methodOf: Readonly<Record<Method, ProbeMethod>> = { tcp: ProbeMethod.TCP, dns: ProbeMethod.DNS, ping: ProbeMethod.PING }
const resultOf: Readonly<Record<Result, ProbeResult>> = {
  reached: ProbeResult.REACHED,
  refused: ProbeResult.REFUSED,
  rejected: ProbeResult.REJECTED,
  silent: ProbeResult.SILENT,
  'no-route': ProbeResult.NO_ROUTE,
  untried: ProbeResult.UNTRIED,
}

export function targetMessage({ method, host, port }: Target): ProbeTarget {
  return { method: methodOf[method], host, port }
}

/** Throws INVALID_ARGUMENT invalid_target for what is no address to try. */
export function targetOf({ method, host, port }: ProbeTarget): Target {
  const target = { method: keyOf(methodOf, method), host, port }
  if (!isTarget(target)) throw new ServiceError('INVALID_ARGUMENT', 'invalid_target', 'A target is an IP address, with a port but for a ping.')
  return target
}

export function observationMessage({ result, code, ms }: Observation): ProbeObservation {
  return { result: resultOf[result], code, ms }
}

/** What this version does not know counts as not tried. */
export function observationOf({ result, code, ms }: ProbeObservation): Observation {
  return { result: keyOf(resultOf, result) ?? 'untried', code: code.slice(0, 64), ms }
}

function keyOf<Key extends string, Value>(record: Readonly<Record<Key, Value>>, wanted: Value): Key | undefined {
  return (Object.entries(record) as [Key, Value][]).find(([, value]) => value === wanted)?.[0]
}

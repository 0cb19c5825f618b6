import { Registry } from 'prom-client'
import { ProbeService } from '../../../proto/gen/intramuros/v1/probe.ts'
import type { Observation } from '../../shared/isolation/observation.ts'
import type { Target } from '../../shared/isolation/target.ts'
import { connectLane, type LaneClient } from '../../shared/rpc/lane-client.ts'
import type { Service } from '../../shared/rpc/methods.ts'
import { createCallObserver } from '../../shared/rpc/observe.ts'
import { noTelemetry } from '../../shared/telemetry.ts'
import type { Identity } from '../../shared/tls/identity.ts'
import { silent } from '../silent.ts'
import type { ProbePod } from './endpoints.ts'
import { observationOf, targetMessage } from './probe-messages.ts'

export interface AskedProbe {
  node: string
  attempt(targets: readonly Target[], timeoutMs: number): Promise<Observation[]>
  close(): void
}

const describeMs = 5000

/** Connects to a probe. Throws an Error with a message for people when it can't be reached or is somebody else. */
export async function connectProbe({ component, pod, address }: ProbePod, identity: Identity, limitMs: number): Promise<AskedProbe> {
  const lane = await connectedLane({ service: ProbeService, peer: component, address, identity, limitMs })
  try {
    const signal = new AbortController().signal
    const described = await lane.unary(ProbeService.describe, {}, { requestId: `describe-${crypto.randomUUID()}`, signal, timeoutMs: describeMs })
    if (described.component !== component) throw new Error(`The probe ${pod} says that it is ${described.component}, not ${component}.`)
    return {
      node: described.node,
      async attempt(targets, timeoutMs) {
        const wholeMs = (Math.ceil(targets.length / 16) + 2) * (timeoutMs + 2000)
        const call = { requestId: `attempt-${crypto.randomUUID()}`, signal, timeoutMs: wholeMs }
        const { observations } = await lane.unary(ProbeService.attempt, { targets: targets.map(targetMessage), timeoutMs }, call)
        return observations.map(observationOf)
      },
      close: () => lane.close(),
    }
  } catch (thrown) {
    lane.close()
    throw thrown
  }
}

/** A lane that is up. Throws an Error when it is not in time. */
export async function connectedLane({ service, peer, address, identity, limitMs }: { service: Service; peer: string; address: string; identity: Identity; limitMs: number }): Promise<LaneClient> {
  const up = Promise.withResolvers<void>()
  const lane = connectLane({ service, peer, address, identity, observer: createCallObserver('client', new Registry(), noTelemetry), log: silent, onStateChange: (isUp) => isUp && up.resolve() })
  const limit = setTimeout(() => up.reject(new Error(`${peer} at ${address} does not answer.`)), limitMs)
  try {
    await up.promise
    return lane
  } catch (thrown) {
    lane.close()
    throw thrown
  } finally {
    clearTimeout(limit)
  }
}

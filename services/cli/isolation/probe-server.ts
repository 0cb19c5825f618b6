import { Registry } from 'prom-client'
import { ProbeService } from '../../../proto/gen/intramuros/v1/probe.ts'
import { ServiceError } from '../../shared/errors.ts'
import { attemptAll } from '../../shared/isolation/attempt.ts'
import type { Logger } from '../../shared/log.ts'
import { createCallObserver } from '../../shared/rpc/observe.ts'
import { serveRpc } from '../../shared/rpc/serve.ts'
import { noTelemetry } from '../../shared/telemetry.ts'
import type { Identity } from '../../shared/tls/identity.ts'
import type { ProbedComponent } from './components.ts'
import { observationMessage, targetOf } from './probe-messages.ts'

export interface ProbeServerOptions {
  component: ProbedComponent
  pod: string
  /** Address of its node; empty where it is not known. */
  node: string
  /** The component's own certificate. */
  identity: Identity
  /** "host:port" */
  listen: string
  /** How long it waits to be asked, milliseconds. */
  limitMs: number
  log: Logger
  /** Told once it listens. */
  onListening(port: number): void
}

const mostTargets = 1000
/** For the answer to leave. */
const leaveMs = 2000

/** Serves one check. Resolves when it has answered, true, or was not asked in time, false. */
export async function serveProbe({ component, pod, node, identity, listen, limitMs, log, onListening }: ProbeServerOptions): Promise<boolean> {
  const answered = Promise.withResolvers<boolean>()
  const server = await serveRpc({
    service: ProbeService,
    handlers: {
      describe: () => Promise.resolve({ component, pod, node }),
      async attempt({ targets, timeoutMs }) {
        if (targets.length > mostTargets || timeoutMs < 100 || timeoutMs > 60_000) {
          throw new ServiceError('INVALID_ARGUMENT', 'invalid_target', `A probe tries at most ${mostTargets} targets, for 0.1 to 60 seconds each.`)
        }
        const observations = await attemptAll(targets.map(targetOf), { timeoutMs })
        setImmediate(() => answered.resolve(true))
        return { observations: observations.map(observationMessage) }
      },
    },
    identity,
    listen,
    callers: ['gateway'],
    observer: createCallObserver('server', new Registry(), noTelemetry),
    log,
  })
  const limit = setTimeout(() => answered.resolve(false), limitMs)
  onListening(server.port)
  try {
    return await answered.promise
  } finally {
    clearTimeout(limit)
    await server.close(leaveMs)
  }
}

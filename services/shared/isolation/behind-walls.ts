import { setTimeout as after } from 'node:timers/promises'
import { Gauge } from 'prom-client'
import type { RunningService, ServiceContext } from '../lifecycle.ts'
import { exitStatus, FatalStartError } from '../supervision.ts'
import { attemptAll, defaultTimeoutMs } from './attempt.ts'
import { outsideTargets } from './outside.ts'
import { startSelfCheck } from './self-check.ts'

/** Starts a service only where it can't reach the outside, and lets it be ready only while it can't; see the settings `isolation`. */
export async function startBehindWalls(context: ServiceContext, start: (context: ServiceContext) => Promise<RunningService>): Promise<RunningService> {
  const { config, log, registry } = context
  const { selfCheck, outside, settleSeconds, intervalSeconds } = config.isolation
  if (selfCheck === 'off') return start(context)
  const gauge = new Gauge({ name: 'intramuros_isolation_outside_reached', help: 'Addresses outside that the last self-check reached; anything but 0 is a hole in the walls.', registers: [registry] })
  const check = await startSelfCheck({
    outside: outsideTargets(outside),
    settleMs: settleSeconds * 1000,
    intervalMs: intervalSeconds * 1000,
    attemptAll: (targets) => attemptAll(targets, { timeoutMs: defaultTimeoutMs }),
    log,
    now: () => performance.now(),
    pause: (ms, signal) => after(ms, undefined, { ref: false, signal }).catch(() => undefined),
    onChecked: (reached) => gauge.set(reached),
  })
  if (check.reached !== undefined && selfCheck === 'refuse') {
    check.close()
    throw new FatalStartError(
      `This service can reach the outside (${check.reached}), so it does not start: no network policy holds it back, or none is enforced. ` +
        'Put one in place, or allow it with isolation.selfCheck: notReady or off.',
      exitStatus.outsideReached,
    )
  }
  if (check.reached !== undefined) log.error({ reached: check.reached }, 'self-check: THE OUTSIDE CAN BE REACHED; this service is not ready until it can not')
  const running = await start(context)
  return {
    ...running,
    ready: () => check.reached === undefined && running.ready(),
    notReady: () => (check.reached === undefined ? running.notReady?.() : `the outside can be reached (${check.reached}); see isolation.selfCheck`),
    async close() {
      check.close()
      await running.close()
    },
  }
}

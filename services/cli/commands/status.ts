import type { Command } from 'commander'
import { isAlive } from '../../../deploy/local/is-alive.ts'
import { type PlatformFile, readPlatformFile } from '../../../deploy/local/platform-file.ts'
import { warningPrefix } from '../../shared/metrics.ts'
import type { ProgramContext } from '../context.ts'

type Child = PlatformFile['children'][number]

interface ServiceStatus {
  name: string
  pid?: number
  metrics?: string
  /** What /readyz says; or that it has died. */
  state: 'ready' | 'not ready' | 'no answer' | 'restarting' | 'given up'
  /** How often it was started again. */
  restarts?: number
  lastEnd?: NonNullable<Child['lastEnd']>
  /** What it wants the operator not to forget. */
  warning?: string
}

const answerLimitMs = 2000

export function registerStatus(program: Command, { home, out }: ProgramContext): void {
  program
    .command('status')
    .description('tell which services run on the state folder and whether they are ready (exit status 0 only if all are)')
    .option('--json', 'as JSON')
    .action(async ({ json }: { json?: true }) => {
      const platform = readPlatformFile(home())
      if (platform === undefined || !isAlive(platform.pid)) {
        if (json === true) out.write(`${JSON.stringify({ running: false, home: home() })}\n`)
        else out.write(`Nothing runs on the state folder ${home()}.\n`)
        process.exitCode = 1
        return
      }
      const running = await Promise.all(platform.children.map((child) => ask(child, platform.metricsHost)))
      const services = [...running, ...(platform.down ?? []).map(describeDown)]
      const ready = services.length > 0 && services.every(({ state }) => state === 'ready')
      process.exitCode = ready ? 0 : 1
      const { pid, startedAt, version, address, caFile } = platform
      const told = { running: true, ready, home: home(), pid, startedAt, version, address, caFile, services }
      if (json === true) out.write(`${JSON.stringify(told)}\n`)
      else out.write(`${table(platform, services)}\n`)
    })
}

async function ask({ name, pid, ports, restarts = 0, lastEnd }: Child, host: string): Promise<ServiceStatus> {
  const metrics = `http://${host.includes(':') ? `[${host}]` : host}:${ports['metrics'] ?? 0}`
  return { name, pid, metrics, ...(await stateAt(metrics)), restarts, ...(lastEnd && { lastEnd }) }
}

async function stateAt(metrics: string): Promise<Pick<ServiceStatus, 'state' | 'warning'>> {
  try {
    const response = await fetch(`${metrics}/readyz`, { signal: AbortSignal.timeout(answerLimitMs) })
    if (!response.ok) return { state: 'not ready' }
    const warning = (await response.text()).split('\n').find((line) => line.startsWith(warningPrefix))?.slice(warningPrefix.length)
    return { state: 'ready', ...(warning === undefined ? {} : { warning }) }
  } catch {
    return { state: 'no answer' }
  }
}

function describeDown({ name, givenUp, lastEnd }: NonNullable<PlatformFile['down']>[number]): ServiceStatus {
  return { name, state: givenUp ? 'given up' : 'restarting', ...(lastEnd && { lastEnd }) }
}

function table({ pid, startedAt, version, address }: PlatformFile, services: ServiceStatus[]): string {
  const width = Math.max(0, ...services.map(({ name }) => name.length))
  const line = (service: ServiceStatus): string[] => {
    const state = `  ${service.name.padEnd(width)}  ${service.state.padEnd(10)}`
    const own = service.pid === undefined ? state.trimEnd() : `${state}  process ${String(service.pid).padEnd(7)}  ${service.metrics}/metrics`
    const { restarts = 0, lastEnd, warning } = service
    const lines = warning === undefined ? [own] : [own, `  ${''.padEnd(width)}  WARNING: ${warning}`]
    if (lastEnd === undefined) return lines
    return [...lines, `  ${''.padEnd(width)}  ${restarts > 0 ? `restarts: ${restarts}, the last` : 'ended'} after ${lastEnd.how}, ${lastEnd.at}`]
  }
  return [`Intramuros ${version} at ${address}, process ${pid} since ${startedAt}`, ...services.flatMap(line)].join('\n')
}

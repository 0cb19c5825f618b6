import type { Command } from 'commander'
import { isAlive } from '../../../deploy/local/is-alive.ts'
import { type PlatformFile, readPlatformFile } from '../../../deploy/local/platform-file.ts'
import type { ProgramContext } from '../context.ts'

interface ServiceStatus {
  name: string
  pid: number
  metrics: string
  /** What /readyz says. */
  state: 'ready' | 'not ready' | 'no answer'
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
      const services = await Promise.all(platform.children.map((child) => ask(child, platform.metricsHost)))
      const ready = services.length > 0 && services.every(({ state }) => state === 'ready')
      process.exitCode = ready ? 0 : 1
      const { pid, startedAt, version, address, caFile } = platform
      const told = { running: true, ready, home: home(), pid, startedAt, version, address, caFile, services }
      if (json === true) out.write(`${JSON.stringify(told)}\n`)
      else out.write(`${table(platform, services)}\n`)
    })
}

async function ask({ name, pid, ports }: PlatformFile['children'][number], host: string): Promise<ServiceStatus> {
  const metrics = `http://${host.includes(':') ? `[${host}]` : host}:${ports['metrics'] ?? 0}`
  try {
    const response = await fetch(`${metrics}/readyz`, { signal: AbortSignal.timeout(answerLimitMs) })
    return { name, pid, metrics, state: response.ok ? 'ready' : 'not ready' }
  } catch {
    return { name, pid, metrics, state: 'no answer' }
  }
}

function table({ pid, startedAt, version, address }: PlatformFile, services: ServiceStatus[]): string {
  const width = Math.max(0, ...services.map(({ name }) => name.length))
  return [
    `Intramuros ${version} at ${address}, process ${pid} since ${startedAt}`,
    ...services.map((service) => {
      const own = String(service.pid).padEnd(7)
      return `  ${service.name.padEnd(width)}  ${service.state.padEnd(9)}  process ${own}  ${service.metrics}/metrics`
    }),
  ].join('\n')
}

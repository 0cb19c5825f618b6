import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ensureCertificates } from '../../../deploy/local/certificates.ts'
import { freePort } from '../../support/free-port.ts'
import { until } from '../../support/platform.ts'

/** An audit service as a process, without the others. */
export interface AuditProcess {
  child: ChildProcess
  /** Its exit status. */
  ended: Promise<number | null>
  /** Everything that it wrote to standard output and error. */
  output(): string
  /** Status of /readyz; undefined while nobody answers. */
  readyz(): Promise<number | undefined>
  /** Waits until it says that it is alive. */
  live(): Promise<void>
  stop(): Promise<void>
}

const root = join(import.meta.dirname, '../../..')

/** `home`: its state folder. */
export async function startAudit({ home, env }: { home: string; env: Record<string, string> }): Promise<AuditProcess> {
  await mkdir(home, { recursive: true })
  await ensureCertificates({ folder: join(home, 'tls'), now: () => new Date(), httpsNames: [] })
  const metrics = await freePort()
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('INTRAMUROS_') && !name.startsWith('OTEL_'))
  const child = spawn(process.execPath, ['services/audit/main.ts'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...Object.fromEntries(inherited), INTRAMUROS_HOME: home, INTRAMUROS_AUDIT_LISTEN: '127.0.0.1:0', INTRAMUROS_AUDIT_METRICS_PORT: String(metrics), ...env },
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const ended = once(child, 'close').then(([code]) => code as number | null)
  const probe = async (path: string): Promise<number | undefined> => (await fetch(`http://127.0.0.1:${metrics}${path}`).catch(() => undefined))?.status
  return {
    child,
    ended,
    output: () => output,
    readyz: () => probe('/readyz'),
    live: () => until(async () => (await probe('/livez')) === 200, 'the audit service to be alive'),
    async stop() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { freePort } from '../support/free-port.ts'
import { makeOnce, testCache } from '../support/make-once.ts'
import { until } from '../support/platform.ts'
import { runProgram } from '../support/run-program.ts'

const version = 'v3.0.0'
export const user = 'pusher'
export const password = 'a password of a test'
/** Of that password, by bcrypt, which is all that the registry takes. */
const passwordHash = '$2b$05$abcdefghijklmnopqrstuu1TcdHNfnKQePfxmienu/XhHmAMG18.S'

export interface RunningRegistry {
  /** "localhost:PORT". */
  host: string
  /** PEM file of the CA of its certificate. */
  ca: string
  /** What it answers to GET, with the password. */
  get(path: string, accept?: string): Promise<{ status: number; body: Buffer }>
  stop(): Promise<void>
}

/** The distribution project's registry, with TLS of a CA of its own and a password, in an empty folder. It is built once from the Go module proxy, which needs Go. */
export async function startRegistry(folder: string): Promise<RunningRegistry> {
  const program = await registryProgram()
  await mkdir(folder, { recursive: true })
  await makeCertificates(folder)
  await writeFile(join(folder, 'htpasswd'), `${user}:${passwordHash}\n`)
  const port = await freePort()
  const config = {
    version: '0.1',
    log: { level: 'error' },
    storage: { filesystem: { rootdirectory: join(folder, 'data') } },
    http: { addr: `127.0.0.1:${port}`, tls: { certificate: join(folder, 'leaf.crt'), key: join(folder, 'leaf.key') } },
    auth: { htpasswd: { realm: 'registry', path: join(folder, 'htpasswd') } },
  }
  // JSON is YAML.
  await writeFile(join(folder, 'config.yml'), JSON.stringify(config))
  const child = spawn(program, ['serve', join(folder, 'config.yml')], { stdio: 'ignore', env: { OTEL_TRACES_EXPORTER: 'none' } })
  const ca = await readFile(join(folder, 'ca.crt'), 'utf8')
  const get = async (path: string, accept = '*/*'): Promise<{ status: number; body: Buffer }> => {
    const sent = request({ host: 'localhost', port, path, ca, auth: `${user}:${password}`, headers: { accept }, agent: false, timeout: 60_000 }).end()
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    return { status: response.statusCode ?? 0, body: await buffer(response) }
  }
  await until(async () => (await get('/v2/').catch(() => undefined))?.status === 200, 'the registry', 20_000)
  return {
    host: `localhost:${port}`,
    ca: join(folder, 'ca.crt'),
    get,
    async stop() {
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    },
  }
}

async function registryProgram(): Promise<string> {
  const folder = join(testCache(), `registry-${version}`)
  await makeOnce(folder, async () => {
    await runProgram('env', [`GOBIN=${folder}`, 'CGO_ENABLED=0', 'go', 'install', `github.com/distribution/distribution/v3/cmd/registry@${version}`], { timeoutMs: 20 * 60_000 })
  })
  return join(folder, 'registry')
}

async function makeCertificates(folder: string): Promise<void> {
  const openssl = async (...args: string[]): Promise<void> => void (await runProgram('openssl', args, { timeoutMs: 30_000 }))
  const key = (name: string): string[] => ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', join(folder, `${name}.key`)]
  await openssl('req', '-x509', ...key('ca'), '-subj', '/CN=test CA', '-days', '2', '-out', join(folder, 'ca.crt'))
  await openssl('req', '-x509', ...key('leaf'), '-subj', '/CN=registry', '-days', '2', '-addext', 'subjectAltName=DNS:localhost', '-addext', 'basicConstraints=critical,CA:FALSE', '-CA', join(folder, 'ca.crt'), '-CAkey', join(folder, 'ca.key'), '-out', join(folder, 'leaf.crt'))
}

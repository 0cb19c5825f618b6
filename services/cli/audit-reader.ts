import { userInfo } from 'node:os'
import { Registry } from 'prom-client'
import { readPlatformFile } from '../../deploy/local/platform-file.ts'
import { isAlive } from '../../deploy/local/is-alive.ts'
import { StartError } from '../../deploy/local/start-error.ts'
import { AuditReadService, type ExportPart, type ExportRequest, type LogFile, type LoggedRecords, type QueryPage, type QueryRequest, type ReadContentRequest, type TailRequest, type UsageReport, type UsageRequest } from '../../proto/gen/intramuros/v1/audit_read.ts'
import type { SealedPiece } from '../../proto/gen/intramuros/v1/content.ts'
import type { Config } from '../shared/config/load.ts'
import { type CallOptions, connectLane } from '../shared/rpc/lane-client.ts'
import { createCallObserver } from '../shared/rpc/observe.ts'
import { noTelemetry } from '../shared/telemetry.ts'
import { identityPlace, watchIdentity } from '../shared/tls/identity.ts'
import { silent } from './silent.ts'

type Unread<Request> = Omit<Request, 'reader'>

/** Reads the ledger for commands. Each read is a record of the log, which names the user of the operating system. */
export interface AuditReader {
  query(request: Unread<QueryRequest>): Promise<QueryPage>
  usage(request: Unread<UsageRequest>): Promise<UsageReport>
  export(request: Unread<ExportRequest>): AsyncIterable<ExportPart>
  tail(request: Unread<TailRequest>): AsyncIterable<LoggedRecords>
  /** What is kept of a request, encrypted. */
  content(request: Unread<ReadContentRequest>): AsyncIterable<SealedPiece>
  checkpoint(): Promise<LogFile>
  tile(path: string): Promise<LogFile>
  close(): Promise<void>
}

export interface AuditAddress {
  /** "host:port" of the audit service. */
  address: string
  /** Folder of the platform's certificates. */
  tlsFolder: string
}

const connectMs = 5000
const answerMs = 60_000

/** Where the audit service of a running platform is. Throws a StartError when none runs. */
export function runningAudit(home: string, config: Config): AuditAddress {
  const [host, fixedPort] = splitAddress(config.audit.listen)
  // In a cluster, the one of this pod: it has a port of its own and no launcher.
  if (fixedPort !== '0') return { address: `${anyAddress.get(host) ?? host}:${fixedPort}`, tlsFolder: config.tls.folder }
  const platform = readPlatformFile(home)
  const port = platform?.children.find(({ name }) => name === 'audit')?.ports['grpc']
  if (platform === undefined || !isAlive(platform.pid) || port === undefined) {
    throw new StartError(`Nothing runs on the state folder ${home}, so the audit log can't be asked. Start the platform, or read the log's folder itself with --folder.`)
  }
  return { address: `${host}:${port}`, tlsFolder: config.tls.folder }
}

/** What is reached under this machine's own address where a service listens on all. */
const anyAddress = new Map([
  ['0.0.0.0', '127.0.0.1'],
  ['[::]', '[::1]'],
])

function splitAddress(address: string): [host: string, port: string] {
  const colon = address.lastIndexOf(':')
  return [address.slice(0, colon), address.slice(colon + 1)]
}

/** Connects to an audit service with the command line's own certificate. Throws a StartError when it does not answer. */
export async function connectAuditReader({ address, tlsFolder }: AuditAddress): Promise<AuditReader> {
  const identity = await watchIdentity({ ...(await identityPlace(tlsFolder, 'cli')), log: silent })
  const up = Promise.withResolvers<void>()
  const lane = connectLane({
    service: AuditReadService,
    peer: 'audit',
    address,
    identity,
    observer: createCallObserver('client', new Registry(), noTelemetry),
    log: silent,
    onStateChange: (isUp) => isUp && up.resolve(),
  })
  const over = new AbortController()
  const close = (): Promise<void> => {
    over.abort()
    lane.close()
    identity.close()
    return Promise.resolve()
  }
  const limit = setTimeout(() => up.reject(new StartError(`The audit service at ${address} does not answer. See "intramuros status".`)), connectMs)
  try {
    await up.promise
  } catch (thrown) {
    await close()
    throw thrown
  } finally {
    clearTimeout(limit)
  }
  const reader = readerName()
  const call = (): CallOptions => ({ requestId: crypto.randomUUID(), signal: over.signal })
  const unary = (): CallOptions => ({ ...call(), timeoutMs: answerMs })
  return {
    query: (request) => lane.unary(AuditReadService.query, { ...request, reader }, unary()),
    usage: (request) => lane.unary(AuditReadService.usage, { ...request, reader }, unary()),
    export: (request) => lane.stream(AuditReadService.export, { ...request, reader }, call()),
    tail: (request) => lane.stream(AuditReadService.tail, { ...request, reader }, call()),
    content: (request) => lane.stream(AuditReadService.readContent, { ...request, reader }, call()),
    checkpoint: () => lane.unary(AuditReadService.readCheckpoint, { reader }, unary()),
    tile: (path) => lane.unary(AuditReadService.readTile, { reader, path }, unary()),
    close,
  }
}

/** The user of the operating system, in characters that a record takes. */
export function readerName(): string {
  try {
    return userInfo().username.replaceAll(/[^A-Za-z0-9._@+-]/g, '_').slice(0, 100) || 'unknown'
  } catch {
    // A container may run as a user that has no name.
    return `uid-${process.getuid?.() ?? 'unknown'}`
  }
}

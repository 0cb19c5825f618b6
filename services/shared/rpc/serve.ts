import type { EventEmitter } from 'node:events'
import { isIP } from 'node:net'
import {
  Metadata,
  Server,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import type { LaneFrame } from '../../../proto/gen/intramuros/v1/lane.ts'
import { abortReason, asServiceError, callerGone, codes, ServiceError } from '../errors.ts'
import { serverCredentials } from '../tls/grpc-credentials.ts'
import type { Identity } from '../tls/identity.ts'
import { serviceNameOfPeer } from '../tls/service-name.ts'
import { type Arrival, type BindOptions, bindMethods, type BoundMethod } from './bind.ts'
import { serveLane } from './lane-server.ts'
import { type HandlersOf, methodName, type Service } from './methods.ts'
import { channelLimits, errorMetadata, readerStalled, stalledReaderMs } from './wire.ts'

/** What grpc-js's calls of every kind have in common. */
type SurfaceCall = Pick<ServerUnaryCall<Buffer, Uint8Array>, 'metadata' | 'getAuthContext' | 'getDeadline'>

export interface ServeOptions<S extends Service> extends BindOptions {
  service: S
  handlers: HandlersOf<S>
  identity: Identity
  /** "host:port"; port 0 takes a free one. */
  listen: string
  /** Further services on the same port, each with callers of its own. */
  beside?: readonly BesideService[]
}

/** A service that shares a port with another; besideService makes it. */
export interface BesideService {
  addTo(server: Server, options: Omit<BindOptions, 'callers'>): void
}

export function besideService<S extends Service>({ service, handlers, callers }: { service: S; handlers: HandlersOf<S>; callers: readonly string[] }): BesideService {
  return { addTo: (server, options) => addService(server, service, handlers, { ...options, callers }) }
}

function addService<S extends Service>(server: Server, service: S, handlers: HandlersOf<S>, options: BindOptions): void {
  server.addService(overBytes(service), carry(service, bindMethods(service, handlers, options), options))
}

export interface RpcServer {
  port: number
  /** Refuses new connections, waits for the calls under way until `limitMs`, then ends them. */
  close(limitMs: number): Promise<void>
}

/** Serves a service over mTLS, each method both as an ordinary one and over lanes. Throws when the address can't be had. */
export async function serveRpc<S extends Service>(options: ServeOptions<S>): Promise<RpcServer> {
  const server = new Server(channelLimits)
  addService(server, options.service, options.handlers, options)
  for (const one of options.beside ?? []) one.addTo(server, options)
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(options.listen, serverCredentials(options.identity), (error, bound) => (error === null ? resolve(bound) : reject(error)))
  })
  return {
    port,
    close(limitMs) {
      return new Promise((resolve) => {
        // grpc-js does not always call back once it was forced, so that is not waited for.
        const limit = setTimeout(() => {
          server.forceShutdown()
          resolve()
        }, limitMs)
        server.tryShutdown(() => {
          clearTimeout(limit)
          resolve()
        })
      })
    },
  }
}

/** Leaves requests and responses as bytes: the bound methods encode and decode, the same way for both carriages. */
function overBytes(service: Service): Service {
  const asIs = (bytes: Buffer): Buffer => bytes
  const definitions: Record<string, Service[string]> = {}
  for (const [name, definition] of Object.entries(service)) {
    definitions[name] = name === 'lane' ? definition : { ...definition, requestDeserialize: asIs, responseSerialize: asIs }
  }
  return { ...definitions, lane: service.lane }
}

/** The bound methods as grpc-js wants them. */
function carry(service: Service, methods: Map<string, BoundMethod>, options: BindOptions): UntypedServiceImplementation {
  const implementation: UntypedServiceImplementation = {}
  for (const [name, definition] of Object.entries(service)) {
    if (name === 'lane') {
      implementation[name] = (stream: ServerDuplexStream<LaneFrame, LaneFrame>) => acceptLane(stream, methods, options)
      continue
    }
    const method = methods.get(methodName(definition.path))
    if (method === undefined) continue
    implementation[name] = method.streamed
      ? (call: ServerWritableStream<Buffer, Uint8Array>) => void carryStream(call, method.run, options.stalledReaderMs ?? stalledReaderMs)
      : (call: ServerUnaryCall<Buffer, Uint8Array>, done: sendUnaryData<Uint8Array>) => void carryUnary(call, done, method.run)
  }
  return implementation
}

function acceptLane(stream: ServerDuplexStream<LaneFrame, LaneFrame>, methods: Map<string, BoundMethod>, options: BindOptions): void {
  const peer = peerOf(stream)
  if (!options.callers.includes(peer)) {
    options.log.warn({ peer, address: peerAddress(stream.getPeer()) }, 'refused a lane: this caller is not allowed')
    stream.emit('error', statusOf(new ServiceError('PERMISSION_DENIED', 'caller_not_allowed', 'This service does not answer to the certificate of this caller.')))
    return
  }
  stream.sendMetadata(new Metadata()) // tells the client that the lane is up
  serveLane(stream, methods, peer, options.stalledReaderMs ?? stalledReaderMs)
}

async function carryUnary(
  call: ServerUnaryCall<Buffer, Uint8Array>,
  done: sendUnaryData<Uint8Array>,
  run: (request: Buffer, arrival: Arrival) => Promise<Uint8Array>,
): Promise<void> {
  try {
    done(null, await run(call.request, arrivalOf(call)))
  } catch (thrown) {
    done(statusOf(asServiceError(thrown)))
  }
}

async function carryStream(
  call: ServerWritableStream<Buffer, Uint8Array>,
  run: (request: Buffer, arrival: Arrival) => AsyncGenerator<Uint8Array, void, undefined>,
  limitMs: number,
): Promise<void> {
  try {
    const arrival = arrivalOf(call)
    const { signal } = arrival.abort
    for await (const message of run(call.request, arrival)) {
      if (!call.write(message)) await drainedOrAborted(call, arrival.abort, limitMs)
      if (signal.aborted) throw abortReason(signal)
    }
    call.end()
  } catch (thrown) {
    call.emit('error', statusOf(asServiceError(thrown)))
  }
}

/** Waits until the caller has read what was written; gives it up when it reads nothing for too long. */
function drainedOrAborted(call: ServerWritableStream<Buffer, Uint8Array>, abort: AbortController, limitMs: number): Promise<void> {
  const { signal } = abort
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const stalled = setTimeout(() => abort.abort(readerStalled()), limitMs)
    const settle = (): void => {
      clearTimeout(stalled)
      call.off('drain', settle)
      signal.removeEventListener('abort', settle)
      resolve()
    }
    call.once('drain', settle)
    signal.addEventListener('abort', settle, { once: true })
  })
}

function arrivalOf(call: SurfaceCall & EventEmitter): Arrival {
  const abort = new AbortController()
  call.on('cancelled', () => abort.abort(callerGone()))
  const deadline = Number(call.getDeadline())
  return {
    requestId: textOf(call.metadata, 'x-request-id'),
    peer: peerOf(call),
    traceparent: textOf(call.metadata, 'traceparent'),
    timeoutMs: Number.isFinite(deadline) ? Math.max(1, deadline - Date.now()) : 0,
    abort,
  }
}

function textOf(metadata: Metadata, key: string): string {
  const value = metadata.get(key)[0]
  return typeof value === 'string' && /^[\w.-]{1,64}$/.test(value) ? value : ''
}

function peerOf(call: Pick<SurfaceCall, 'getAuthContext'>): string {
  const certificate = call.getAuthContext()?.sslPeerCertificate
  return serviceNameOfPeer(certificate) ?? ''
}

function peerAddress(peer: string): string {
  const host = peer.slice(0, peer.lastIndexOf(':'))
  return isIP(host) === 0 ? 'unknown' : host
}

function statusOf(error: ServiceError): { code: number; details: string; metadata: Metadata } & Error {
  return Object.assign(new Error(error.message), { code: codes[error.code], details: error.message, metadata: errorMetadata(error) })
}

import { connect, type ConnectionOptions, type DetailedPeerCertificate } from 'node:tls'
import { Client, Server, type ServerUnaryCall, type ServiceDefinition, type sendUnaryData } from '@grpc/grpc-js'
import { channelCredentials, channelOptions, serverCredentials } from './grpc-credentials.ts'
import type { Identity } from './identity.ts'
import { serviceNameOfPeer } from './service-name.ts'

/** For tests of TLS: a gRPC server that tells each caller how it sees the caller's certificate. */

const asIs = (bytes: Buffer): Buffer => bytes
const path = '/test.Echo/WhoAmI'
const definition: ServiceDefinition = {
  whoAmI: {
    path,
    requestStream: false,
    responseStream: false,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  },
}

export interface Handshake {
  certificate: DetailedPeerCertificate
  /** For example "TLSv1.3". */
  protocol: string | null
}

export interface EchoServer {
  port: number
  close(): void
}

export async function serveEcho(identity: Identity, wantedPort = 0): Promise<EchoServer> {
  const server = new Server()
  server.addService(definition, {
    whoAmI(call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) {
      const certificate = call.getAuthContext().sslPeerCertificate
      done(null, Buffer.from(`${serviceNameOfPeer(certificate)} ${certificate?.serialNumber}`))
    },
  })
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${wantedPort}`, serverCredentials(identity), (error, bound) => {
      if (error === null) resolve(bound)
      else reject(error)
    })
  })
  return { port, close: () => server.forceShutdown() }
}

/** A channel with a connection of its own. */
export function echoClient(port: number, service: string, identity: Identity): Client {
  const options = { ...channelOptions(service), 'grpc.use_local_subchannel_pool': 1 }
  return new Client(`127.0.0.1:${port}`, channelCredentials(identity), options)
}

/** The caller's service name and serial number, as the server sees them. */
export function whoAmI(client: Client): Promise<string> {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + 10_000
    client.makeUnaryRequest(path, asIs, asIs, Buffer.alloc(0), { deadline }, (error, answer) => {
      if (error === null) resolve(String(answer))
      else reject(error)
    })
  })
}

/** The same over a new connection. */
export async function whoAmIAnew(port: number, service: string, identity: Identity): Promise<string> {
  const client = echoClient(port, service, identity)
  try {
    return await whoAmI(client)
  } finally {
    client.close()
  }
}

/**
 * Shakes hands with a server by hand; resolves with its certificate, once it has taken ours. Fails with either side's refusal.
 */
export function handshake(port: number, options: ConnectionOptions): Promise<Handshake> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, ALPNProtocols: ['h2'], timeout: 10_000, ...options })
    socket.once('timeout', () => socket.destroy(new Error('the handshake took too long')))
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('the server closed the connection')))
    // In TLS 1.3 a client is done before the server has looked at its certificate: the server's first bytes tell.
    socket.once('data', () => {
      resolve({ certificate: socket.getPeerCertificate(true), protocol: socket.getProtocol() })
      socket.destroy()
    })
    socket.once('secureConnect', () => {
      socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
      socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])) // an empty SETTINGS frame
    })
  })
}

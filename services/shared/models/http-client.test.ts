import 'reflect-metadata' // @peculiar/x509's dependency injection needs it to be there first
import { type Server as HttpServer, createServer, request as httpRequest } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, type Server as TcpServer, type Socket, connect, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as x509 from '@peculiar/x509'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type HttpClientOptions, createHttpClient } from './http-client.ts'
import { closeServer, listen } from './test-support/file-server.ts'

const limits = { connectMs: 300, stallMs: 2000, attempts: 1, backoffMs: 1 }
const cleanUps: (() => Promise<void>)[] = []

let folder: string
let caFile: string
let key: string
let certificate: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'intramuros-http-'))
  caFile = join(folder, 'ca.pem')
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const issued = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=test',
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true),
      new x509.SubjectAlternativeNameExtension([
        { type: 'ip', value: '127.0.0.1' },
        { type: 'dns', value: 'mirror.internal' },
      ]),
    ],
  })
  certificate = issued.toString('pem')
  key = x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY')
  await writeFile(caFile, certificate)
})

afterAll(async () => {
  await rm(folder, { recursive: true })
})

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp()
})

async function started(server: HttpServer, scheme = 'http'): Promise<URL> {
  cleanUps.push(async () => await closeServer(server))
  return await listen(server, scheme)
}

async function startTls(): Promise<URL> {
  return await started(
    createHttpsServer({ key, cert: certificate }, (_, response) => response.end('hello')),
    'https',
  )
}

async function get(
  url: URL | string,
  options: Partial<HttpClientOptions> = {},
  signal = AbortSignal.timeout(5000),
): Promise<string> {
  const { response } = await createHttpClient({ env: {}, limits, ...options }).get(new URL(url), {}, signal)
  return (await response.toArray()).join('')
}

interface Proxy {
  url: URL
  seen: { method: string | undefined; target: string | undefined; authorization: string | undefined }[]
}

/** A forward proxy as of RFC 9110; every tunnel ends at `tunnelTo`, whatever its name. */
async function startProxy(tunnelTo: URL): Promise<Proxy> {
  const seen: Proxy['seen'] = []
  const server = createServer((request, response) => {
    seen.push({ method: request.method, target: request.url, authorization: request.headers['proxy-authorization'] })
    httpRequest(new URL(new URL(request.url ?? '').pathname, tunnelTo), (upstream) => upstream.pipe(response)).end()
  })
  server.on('connect', (request, socket: Socket) => {
    seen.push({ method: request.method, target: request.url, authorization: request.headers['proxy-authorization'] })
    const upstream = connect(Number(tunnelTo.port), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      socket.pipe(upstream).pipe(socket)
    })
    for (const [end, other] of [
      [socket, upstream],
      [upstream, socket],
    ] as const)
      end.on('error', () => other.destroy()).on('close', () => other.destroy())
  })
  return { url: await started(server), seen }
}

describe('trust', () => {
  test.each(['SSL_CERT_FILE', 'REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE', 'NODE_EXTRA_CA_CERTS'])(
    'in the CA that %s names',
    async (name) => {
      expect(await get(await startTls(), { env: { [name]: caFile } })).toBe('hello')
    },
  )

  test('in the CA that pip names, and in a folder of CAs', async () => {
    const url = await startTls()
    expect(await get(url, { caFile })).toBe('hello')
    expect(await get(url, { caFile: folder })).toBe('hello')
  })

  test('in nobody else', async () => {
    await expect(get(await startTls())).rejects.toThrow(/certificate is signed by nobody known here/)
  })

  test('in a trusted host alone, without a check', async () => {
    const url = await startTls()
    expect(await get(url, { trustedHosts: ['127.0.0.1'] })).toBe('hello')
    expect(await get(url, { trustedHosts: [url.host] })).toBe('hello')
    await expect(get(url, { trustedHosts: ['127.0.0.1:1', 'localhost'] })).rejects.toThrow(/signed by nobody/)
  })

  test('not in a certificate for another name', async () => {
    const proxy = await startProxy(await startTls())
    await expect(get('https://other.internal/', { caFile, proxy: proxy.url.href })).rejects.toThrow(
      /certificate is for another name/,
    )
  })

  test('needs files that are there', async () => {
    await expect(get(await startTls(), { env: { SSL_CERT_FILE: '/nowhere/ca.pem' } })).rejects.toThrow(
      '/nowhere/ca.pem (named by SSL_CERT_FILE)',
    )
  })
})

describe('a proxy', () => {
  test('is tunnelled through for https', async () => {
    const proxy = await startProxy(await startTls())
    expect(await get('https://mirror.internal/a', { caFile, env: { HTTPS_PROXY: `http://me:p%40ss@${proxy.url.host}` } })).toBe(
      'hello',
    )
    expect(proxy.seen).toEqual([
      { method: 'CONNECT', target: 'mirror.internal:443', authorization: `Basic ${Buffer.from('me:p@ss').toString('base64')}` },
    ])
  })

  test('is asked for the whole address for http', async () => {
    const proxy = await startProxy(await started(createServer((_, response) => response.end('plain'))))
    expect(await get('http://mirror.internal/a?b=c', { env: { http_proxy: proxy.url.host } })).toBe('plain')
    expect(proxy.seen).toEqual([{ method: 'GET', target: 'http://mirror.internal/a?b=c', authorization: undefined }])
  })

  test('that refuses is named, without its password', async () => {
    const server = createServer()
    server.on('connect', (_, socket: Socket) => socket.end('HTTP/1.1 403 Forbidden\r\n\r\n'))
    const url = await started(server)
    await expect(get('https://mirror.internal/', { proxy: `http://me:secret@${url.host}` })).rejects.toThrow(
      `the proxy ${url.host} refused the connection (HTTP 403)`,
    )
  })
})

describe('a connection', () => {
  test.each(['straight', 'through a proxy'])('that never gets to TLS is given up, and closed, %s', async (way) => {
    const silent: TcpServer = createTcpServer()
    const closed = new Promise<void>((resolve) => {
      silent.on('connection', (socket) =>
        socket
          .on('error', () => undefined)
          .on('close', () => resolve())
          .resume(),
      )
    })
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    cleanUps.push(async () => await new Promise((resolve) => silent.close(() => resolve())))
    const url = new URL(`https://127.0.0.1:${(silent.address() as AddressInfo).port}`)
    const options = way === 'straight' ? {} : { proxy: (await startProxy(url)).url.href }
    await expect(get(url, options)).rejects.toThrow(/^no connection within 0.3 s/)
    await closed
  })

  test('is given up at once when told so', async () => {
    const url = await started(createServer(() => undefined))
    await expect(get(url, {}, AbortSignal.abort(new Error('stopped')))).rejects.toThrow('stopped')
    const stop = new AbortController()
    const asked = get(url, {}, stop.signal)
    stop.abort(new Error('stopped'))
    await expect(asked).rejects.toThrow('stopped')
  })

  test('without an answer is given up', async () => {
    const url = await started(createServer(() => undefined))
    await expect(get(url, { limits: { ...limits, stallMs: 100 } })).rejects.toThrow('no answer within 0.1 s')
  })
})

describe('a redirect', () => {
  test('to another host carries no credentials of the first, in header or address', async () => {
    const seen: (string | undefined)[] = []
    const other = await started(
      createServer((request, response) => {
        seen.push(request.headers.authorization)
        response.end('there')
      }),
    )
    const first = await started(
      createServer((request, response) => {
        seen.push(request.headers.authorization)
        response.writeHead(302, { location: `http://a:b@${other.host}/` }).end()
      }),
    )
    expect(await get(first, { authorize: (url) => (url.origin === first.origin ? 'Bearer secret' : undefined) })).toBe('there')
    expect(seen).toEqual(['Bearer secret', undefined])
  })

  test('that gives up TLS, or has no end, is refused', async () => {
    const plain = createHttpsServer({ key, cert: certificate }, (_, response) =>
      response.writeHead(302, { location: 'http://127.0.0.1/' }).end(),
    )
    await expect(get(await started(plain, 'https'), { caFile })).rejects.toThrow('redirects to 127.0.0.1 without TLS')
    const circle = createServer((_, response) => response.writeHead(302, { location: '/' }).end())
    await expect(get(await started(circle))).rejects.toThrow('redirects more than 10 times')
    const file = createServer((_, response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end())
    await expect(get(await started(file))).rejects.toThrow("addresses of kind file: can't be fetched")
  })
})

import { once } from 'node:events'
import { createServer, connect, type Socket } from 'node:net'

/** Stands between a client and a server of loopback, and can cut one off from the other without the server's noticing. */
export interface CuttingProxy {
  port: number
  /** Ends the client's side of the connection that the server knows by this port of its client. The server's side stays open, and unheard. */
  cutClientOf(serverSidePort: number): void
  close(): void
}

export async function startCuttingProxy(to: number): Promise<CuttingProxy> {
  const pairs = new Set<{ client: Socket; server: Socket }>()
  const listener = createServer((client) => {
    const server = connect(to, '127.0.0.1')
    const pair = { client, server }
    pairs.add(pair)
    client.on('error', () => undefined)
    server.on('error', () => undefined)
    client.on('data', (bytes) => server.write(bytes))
    server.on('data', (bytes) => client.writable && client.write(bytes))
    client.once('end', () => server.end())
    server.once('close', () => {
      client.destroy()
      pairs.delete(pair)
    })
  }).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const address = listener.address()
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port')
  return {
    port: address.port,
    cutClientOf(serverSidePort) {
      const pair = [...pairs].find(({ server }) => server.localPort === serverSidePort)
      if (pair === undefined) throw new Error(`no connection goes by port ${serverSidePort}`)
      pair.client.removeAllListeners('end')
      pair.client.destroy()
    },
    close() {
      listener.close()
      for (const { client, server } of pairs) {
        client.destroy()
        server.destroy()
      }
    },
  }
}

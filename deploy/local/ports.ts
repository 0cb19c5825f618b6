import { createServer } from 'node:net'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { StartError } from './start-error.ts'

/**
 * Below the range from which Linux (32768 up) and macOS (49152 up) take the local ports of outgoing connections: a
 * service that is restarted then finds its port still free.
 */
const lowest = 20_000
const highest = 29_999

/** An address to listen on, with the name of the setting that it comes from. */
export interface Bind {
  setting: string
  host: string
  port: number
}

/** Thrown texts name this many tries to find a free port. */
const tries = 200

/** A port of the host that nothing listens on, and none of those in `taken`; it is added there. */
export async function freePort(host: string, taken: Set<number>): Promise<number> {
  for (let attempt = 0; attempt < tries; attempt += 1) {
    const port = randomInt(lowest, highest + 1)
    if (taken.has(port) || (await busy(host, port)) !== undefined) continue
    taken.add(port)
    return port
  }
  throw new StartError(`No free port was found on ${host} in ${tries} tries between ${lowest} and ${highest}.`)
}

export interface WantedPort extends Bind {
  /** Set by the user: then no other will do. */
  explicit: boolean
}

/**
 * The port to use for one that is wanted: itself if it is free; any for 0; another one, if it is taken and the user
 * did not ask for it. Throws a StartError naming the setting otherwise.
 */
export async function resolvePort({ setting, host, port, explicit }: WantedPort, taken: Set<number>): Promise<number> {
  if (port === 0) return freePort(host, taken)
  const why = taken.has(port) ? 'EADDRINUSE' : await busy(host, port)
  if (why === undefined) {
    taken.add(port)
    return port
  }
  if (!explicit && why === 'EADDRINUSE') return freePort(host, taken)
  throw new StartError(cannotListen({ setting, host, port }, why))
}

/** Those of the addresses that cannot be listened on now, as sentences that name the setting. */
export async function describeBusy(binds: Bind[]): Promise<string[]> {
  const found = await Promise.all(
    binds.map(async (bind) => {
      const why = await busy(bind.host, bind.port)
      return why === undefined ? [] : [cannotListen(bind, why)]
    }),
  )
  return found.flat()
}

function cannotListen({ setting, host, port }: Bind, why: string): string {
  switch (why) {
    case 'EADDRINUSE':
      return `Port ${port} of ${host} is used by another program: end that one, or set ${setting} to another (0: any free one).`
    case 'EACCES':
      return `This user may not listen on port ${port} of ${host}: set ${setting} to one above 1023.`
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `${host} is not an address of this machine: see ${setting} and its host.`
    default:
      return `Port ${port} of ${host} can't be listened on (${why}): see ${setting}.`
  }
}

/** The error code that listening there meets; undefined when it works. */
async function busy(host: string, port: number): Promise<string | undefined> {
  const server = createServer()
  try {
    server.listen({ host, port, exclusive: true })
    await once(server, 'listening')
    server.close()
    await once(server, 'close')
    return undefined
  } catch (thrown) {
    return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : 'unknown'
  }
}

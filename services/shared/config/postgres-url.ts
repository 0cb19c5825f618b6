import { isIPv4 } from 'node:net'

/** Where a database is. */
export interface PostgresAddress {
  readonly user: string
  /** A host name, an IP address, or the absolute path of a folder of sockets. */
  readonly host: string
  readonly port: number
  readonly database: string
}

/**
 * Reads `postgres://user@host:5432/database`; undefined for anything else. A password is refused, since settings are shown: it has a file.
 * So are parameters, some of which would turn the checks of the connection off.
 */
export function parsePostgresUrl(text: string): PostgresAddress | undefined {
  const match = /^postgres(?:ql)?:\/\/([^:@/?#\s]+)@(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._%-]+)(?::(\d{1,5}))?\/([^:@/?#\s]+)$/.exec(text)
  const [, user, host, port = '5432', database] = match?.map(decoded) ?? []
  if (user === undefined || host === undefined || database === undefined) return undefined
  if (Number(port) < 1 || Number(port) > 65_535 || [user, host, database].some((part) => part.includes('\0'))) return undefined
  if (host.includes('/') && !host.startsWith('/')) return undefined
  return { user, host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port), database }
}

/** Whether it is this machine, so that nobody else hears what is said. */
export function isLocalPostgres({ host }: PostgresAddress): boolean {
  return host.startsWith('/') || host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))
}

function decoded(part: string | undefined): string | undefined {
  if (part === undefined) return undefined
  try {
    return decodeURIComponent(part)
  } catch {
    return undefined
  }
}

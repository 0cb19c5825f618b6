import { isIP } from 'node:net'
import { isAbsolute } from 'node:path'
import { parseTarget } from '../isolation/target.ts'
import { parsePodAddress } from './pod-address.ts'
import { parsePostgresUrl } from './postgres-url.ts'

interface Format {
  /** What is allowed, to follow "allowed:". */
  allowed: string
  /** What an editor can check: a pattern that at least every accepted text matches. */
  pattern: string
  accepts(text: string): boolean
}

// RFC 1123 section 2.1: labels of letters, digits and hyphens, at most 63 long, at most 253 together.
const hostName = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i

const size = /^\d{1,9}(\.\d{1,3})? ?[KkMmGgTt]?i?B$/

/** The one variable with our prefix that may hold a model key: others are taken for settings, and mistyped ones are refused. */
export const modelKeyVariable = 'INTRAMUROS_MODEL_KEY'

const name = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/

/** An IP address or a host name. Text like "127.0.0" or "300.1.1.1" is neither: a name of digits alone is a mistyped address. */
function isHost(text: string): boolean {
  return isIP(text) !== 0 || (hostName.test(text) && !/^[\d.]+$/.test(text))
}

function isHostAndPort(text: string): boolean {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text)
  if (match === null) return false
  const [, bracketed, plain, port] = match
  const hostIsFine = bracketed === undefined ? isHost(plain ?? '') : isIP(bracketed) === 6
  return hostIsFine && Number(port) <= 65_535
}

function isHttpUrl(text: string): boolean {
  if (!/^https?:\/\/[^/]/i.test(text) || /\s/.test(text)) return false
  return URL.canParse(text)
}

/** The formats that texts in the schema can have. */
export const formats: Readonly<Record<string, Format>> = {
  host: { allowed: 'a host name or an IP address', pattern: '^[A-Za-z0-9.:%-]+$', accepts: isHost },
  'host:port': {
    allowed: 'an address as host:port, for example 127.0.0.1:50051 or [::1]:50051',
    pattern: '^([A-Za-z0-9.-]+|\\[[0-9A-Za-z:.%]+\\]):[0-9]{1,5}$',
    accepts: isHostAndPort,
  },
  url: { allowed: 'a URL that begins with http:// or https://', pattern: '^[hH][tT][tT][pP][sS]?://[^/\\s]', accepts: isHttpUrl },
  'pod-url': {
    allowed: 'an address of this pod: http://127.0.0.1:8000, http://[::1]:8000, http://localhost:8000, or a socket as unix:/run/server.sock',
    pattern: '^(http://(localhost|127\\.[0-9.]+|\\[::1\\]):[0-9]{1,5}/?|unix:/.+)$',
    accepts: (text) => parsePodAddress(text) !== undefined,
  },
  'postgres-url': {
    allowed: 'a database as postgres://user@host:5432/database, without a password and parameters',
    pattern: '^postgres(ql)?://[^:@/?#\\s]+@[^@/?#\\s]+/[^:@/?#\\s]+$',
    accepts: (text) => parsePostgresUrl(text) !== undefined,
  },
  target: {
    allowed: 'an address to try, for example tcp:1.1.1.1:443, dns:[2606:4700:4700::1111]:53 or ping:1.1.1.1',
    pattern: '^((tcp|dns):([0-9.]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}|ping:([0-9.]+|\\[[0-9A-Fa-f:.]+\\]))$',
    accepts: (text) => parseTarget(text) !== undefined,
  },
  folder: {
    allowed: 'an absolute path, or one that begins with ~/',
    pattern: '^(~?/|[A-Za-z]:[/\\\\]|\\\\)',
    accepts: (text) => isAbsolute(text) || text.startsWith('~/'),
  },
  size: {
    allowed: 'a size, for example 24GiB or 512MiB',
    pattern: size.source,
    accepts: (text) => size.test(text),
  },
  file: {
    allowed: 'an absolute path, or one that begins with ~/',
    pattern: '^(~?/|[A-Za-z]:[/\\\\]|\\\\)',
    accepts: (text) => isAbsolute(text) || text.startsWith('~/'),
  },
  variable: {
    allowed: `the name of an environment variable, which begins with INTRAMUROS_ only if it is ${modelKeyVariable}`,
    pattern: '^[A-Za-z_][A-Za-z0-9_]*$',
    accepts: (text) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(text) && (text === modelKeyVariable || !text.startsWith('INTRAMUROS_')),
  },
  name: {
    allowed: 'a name of 1 to 63 letters, digits, ".", "_" and "-" that begins with a letter or a digit',
    pattern: name.source,
    accepts: (text) => name.test(text),
  },
}

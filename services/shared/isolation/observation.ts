/**
 * What came of an attempt.
 * - `reached`: a connection was opened, or an answer came.
 * - `refused`: told that nobody listens there: by the host itself, or by a policy that rejects in this way.
 * - `rejected`: told by something on the way, or by this machine, that it may not or can't be.
 * - `silent`: nothing came back.
 * - `no-route`: this machine knows no way there, for example where it has no IPv6.
 * - `untried`: it could not be tried, for example without the program ping.
 */
export const results = ['reached', 'refused', 'rejected', 'silent', 'no-route', 'untried'] as const
export type Result = (typeof results)[number]

export interface Observation {
  result: Result
  /** Name of the system's error, or a word on why; empty when there is none. */
  code: string
  /** How long it took, milliseconds. */
  ms: number
}

const refusals = new Set(['ECONNREFUSED', 'ECONNRESET'])
/** By ICMP: a host or network that can't be reached or is prohibited. By this machine: a firewall's or eBPF's word (EPERM), a route that rejects (EACCES) or drops (EINVAL). */
const rejections = new Set(['EHOSTUNREACH', 'EHOSTDOWN', 'EPERM', 'EACCES', 'EINVAL'])
const noRoutes = new Set(['ENETUNREACH', 'ENETDOWN', 'EADDRNOTAVAIL', 'EAFNOSUPPORT'])

/** What an error of connecting or sending to an IP address says about the way there. */
export function resultOfError(code: string): Result {
  if (refusals.has(code)) return 'refused'
  if (rejections.has(code)) return 'rejected'
  if (noRoutes.has(code)) return 'no-route'
  return code === 'ETIMEDOUT' ? 'silent' : 'untried'
}

/** Lines of iputils' ping under LC_ALL=C, and what each means; the first that is found counts. */
const pingLines: readonly [RegExp, Outcome][] = [
  [/sendmsg: Operation not permitted/, { result: 'rejected', code: 'EPERM' }],
  [/socket: Address family not supported/, { result: 'no-route', code: 'EAFNOSUPPORT' }],
  [/socket: /, { result: 'untried', code: 'ping_not_permitted' }],
  [/connect: Network is unreachable/, { result: 'no-route', code: 'ENETUNREACH' }],
  [/connect: Cannot assign requested address/, { result: 'no-route', code: 'EADDRNOTAVAIL' }],
  // A route that prohibits; ping takes it for something else.
  [/Do you want to ping broadcast/, { result: 'rejected', code: 'EACCES' }],
  [/connect: Invalid argument/, { result: 'rejected', code: 'EINVAL' }],
  [/connect: No route to host|[Uu]nreachable|Packet filtered|[Pp]rohibited/, { result: 'rejected', code: 'EHOSTUNREACH' }],
]

type Outcome = Omit<Observation, 'ms'>

/** What the program ping says by its exit status and its words. */
export function resultOfPing(status: number | null, output: string): Outcome {
  if (status === 0) return { result: 'reached', code: '' }
  const said = pingLines.find(([line]) => line.test(output))?.[1]
  return said ?? (status === 1 ? { result: 'silent', code: '' } : { result: 'untried', code: 'ping_failed' })
}

import { isIP } from 'node:net'

/**
 * How an address is tried. `tcp`: a connection is opened and closed again; nothing is sent over it. `dns`: a question for the name servers of the
 * root, by UDP. `ping`: three ICMP echo requests.
 */
export const methods = ['tcp', 'dns', 'ping'] as const
export type Method = (typeof methods)[number]

export interface Target {
  method: Method
  /** An IP address: a name would have to be looked up, which must fail by itself. */
  host: string
  /** 0 with ping, which knows no ports. */
  port: number
}

const form = /^(?<method>[a-z]+):(?:\[(?<six>[0-9A-Fa-f:.]+)\]|(?<four>[0-9.]+))(?::(?<port>\d{1,5}))?$/

/** "tcp:1.1.1.1:443", "dns:[2606:4700:4700::1111]:53" or "ping:1.1.1.1"; undefined for anything else. */
export function parseTarget(text: string): Target | undefined {
  const { method, six, four, port = '0' } = form.exec(text)?.groups ?? {}
  const host = six ?? four ?? ''
  const target = { method: methods.find((known) => known === method), host, port: Number(port) }
  return isTarget(target) && isIP(host) === (six === undefined ? 4 : 6) ? target : undefined
}

/** Whether it can be tried: an address, and a port where the method has one. */
export function isTarget(target: { method: Method | undefined; host: string; port: number }): target is Target {
  const { method, host, port } = target
  if (method === undefined || isIP(host) === 0 || !Number.isInteger(port)) return false
  return method === 'ping' ? port === 0 : port >= 1 && port <= 65_535
}

export function formatTarget({ method, host, port }: Target): string {
  const address = isIP(host) === 6 ? `[${host}]` : host
  return method === 'ping' ? `${method}:${address}` : `${method}:${address}:${port}`
}

/** Where clouds tell a machine's credentials to whoever runs on it. In most other places nothing has such an address. */
export function isMetadataAddress(host: string): boolean {
  return /^169\.254\.|^fe80:|^fd00:ec2::/i.test(host)
}

import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import { sanOf } from '../../services/shared/tls/service-name.ts'
import { StartError } from './start-error.ts'

const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

/**
 * DNS names and IP addresses as a certificate holds them: lower case, punycode, IPv6 in its short form; each once. A name may
 * begin with "*.". Throws a StartError for what is neither, and for the names of our own services.
 */
export function canonicalNames(names: readonly string[]): string[] {
  return [...new Set(names.map(canonicalName))]
}

/** IPv6 in its short form, in lower case (RFC 5952); others as they are. */
export function canonicalAddress(address: string): string {
  return isIP(address) === 6 && !address.includes('%') ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address
}

function canonicalName(given: string): string {
  if (isIP(given) !== 0 && !given.includes('%')) return canonicalAddress(given)
  const ascii = domainToASCII(given).replace(/\.$/, '')
  const labels = ascii.replace(/^\*\./, '').split('.')
  if (ascii.length > 253 || !labels.every((part) => label.test(part)) || /^\d+$/.test(labels.at(-1) ?? '')) {
    throw new StartError(`"${given}" can't stand in the HTTPS certificate: it is neither a DNS name nor an IP address.`)
  }
  if (`.${ascii}`.endsWith(sanOf(''))) {
    throw new StartError(`"${given}" can't stand in the HTTPS certificate: the services' own names end so.`)
  }
  return ascii
}

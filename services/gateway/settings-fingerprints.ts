import { createHmac } from 'node:crypto'
import { fieldsOf } from '../shared/config/fields.ts'
import { type Config, configSchema } from '../shared/config/schema.ts'

/**
 * Settings that the launcher fills in with ports which are others at each start: of addresses on this machine the port says nothing.
 */
const peers = new Set(['gateway.tokenizer', 'gateway.audit', 'gateway.workers'])
const loopback = /^(127\.[0-9.]+|localhost|\[::1\]):[0-9]+$/

/** By the name of each setting, the HMAC-SHA256 of its value: tells whether it was changed, and to nobody without the key what it is. */
export function settingsFingerprints(config: Config, key: Uint8Array): Record<string, Buffer> {
  return Object.fromEntries(
    fieldsOf(configSchema).map(({ path, segments }) => {
      let value: unknown = config
      for (const segment of segments) value = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[segment] : undefined
      const told = peers.has(path) ? withoutPorts(value) : value
      return [path, createHmac('sha256', key).update(`${path}\n${JSON.stringify(told)}`).digest()]
    }),
  )
}

function withoutPorts(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutPorts)
  return typeof value === 'string' ? value.replace(loopback, '$1') : value
}

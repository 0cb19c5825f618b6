import { isAbsolute } from 'node:path'
import { builtinModels, catalogueProblems } from '../models/catalogue.ts'
import { anchorProblems } from './audit-anchors.ts'
import type { Problem } from './config-error.ts'
import type { Settings } from './schema.ts'
import { suggest } from './suggest.ts'
import { oneOf, shownName } from './wording.ts'

export type ServiceName = 'audit' | 'tokenizer' | 'inference-worker' | 'gateway'

export interface CrossCheckOptions {
  settings: Settings
  /** Where a setting, or a place in it, was set. */
  originOf(path: string, at?: readonly (string | number)[]): string
  /** False for a setting whose value is wrong already: nothing more is said about it. */
  isSound(path: string): boolean
  /** The only service that this machine runs: its ports alone are compared. Undefined: all of them. */
  service: ServiceName | undefined
}

/** What the schema can't tell, because it is about several settings together. */
export function crossCheck(options: CrossCheckOptions): Problem[] {
  return [...checkModels(options), ...checkEngine(options), ...checkPorts(options), ...checkLifetimes(options), ...checkCacheType(options), ...checkModelKey(options), ...checkAnchors(options)]
}

function checkModels({ settings, originOf, isSound }: CrossCheckOptions): Problem[] {
  if (!isSound('models')) return []
  const problems = catalogueProblems(settings.models).map(({ path, found, allowed }): Problem => {
    const place = path.split('.').map((segment) => (/^\d+$/.test(segment) ? Number(segment) : segment))
    const [index, ...rest] = place
    return { path: [`models[${index}]`, ...rest].join('.'), source: originOf('models', place), found, allowed }
  })
  const known = [...new Set([...builtinModels, ...settings.models].map(({ id }) => id))]
  const unknown = (id: string, path: string, source: string): Problem => {
    const suggestion = suggest(id, known)
    const advice = suggestion === undefined ? undefined : `Did you mean "${suggestion}"?`
    return { path, source, found: `an unknown model ${shownName(id)}`, allowed: oneOf(known), suggestion: advice }
  }
  if (isSound('serve')) {
    for (const [index, id] of settings.serve.entries()) {
      const path = `serve[${index}]`
      const source = originOf('serve', [index])
      if (!known.includes(id)) problems.push(unknown(id, path, source))
      else if (settings.serve.indexOf(id) < index)
        problems.push({ path, source, found: `${shownName(id)} a second time`, allowed: 'each model once' })
    }
  }
  const { model } = settings.inferenceWorker
  if (isSound('inferenceWorker.model') && model !== '' && !known.includes(model)) {
    problems.push(unknown(model, 'inferenceWorker.model', originOf('inferenceWorker.model')))
  }
  return problems
}

function checkEngine({ settings, originOf, isSound }: CrossCheckOptions): Problem[] {
  const { engine, openai } = settings.inferenceWorker
  if (engine !== 'openai' || openai.url !== '' || !isSound('inferenceWorker.openai.url')) return []
  const found = `nothing, and inferenceWorker.engine is openai (${originOf('inferenceWorker.engine')})`
  return [{ path: 'inferenceWorker.openai.url', source: originOf('inferenceWorker.openai.url'), found, allowed: 'the address of the server, for example http://127.0.0.1:8000' }]
}

function checkAnchors({ settings, originOf, isSound }: CrossCheckOptions): Problem[] {
  const { anchors, witnesses } = settings.audit
  return anchorProblems({ anchors: isSound('audit.anchors') ? anchors : [], witnesses: isSound('audit.witnesses') ? witnesses : [] }, originOf)
}

interface Listener {
  service: ServiceName
  path: string
  host: string
  port: number
}

function checkPorts({ settings, originOf, isSound, service }: CrossCheckOptions): Problem[] {
  const { gateway, audit, tokenizer, inferenceWorker, metricsHost } = settings
  const listeners: Listener[] = [
    { service: 'gateway', path: 'gateway.port', host: gateway.host, port: gateway.port },
    { service: 'gateway', path: 'gateway.metricsPort', host: metricsHost, port: gateway.metricsPort },
    { service: 'audit', path: 'audit.listen', ...split(audit.listen) },
    { service: 'audit', path: 'audit.metricsPort', host: metricsHost, port: audit.metricsPort },
    { service: 'tokenizer', path: 'tokenizer.listen', ...split(tokenizer.listen) },
    { service: 'tokenizer', path: 'tokenizer.metricsPort', host: metricsHost, port: tokenizer.metricsPort },
    { service: 'inference-worker', path: 'inferenceWorker.listen', ...split(inferenceWorker.listen) },
    { service: 'inference-worker', path: 'inferenceWorker.metricsPort', host: metricsHost, port: inferenceWorker.metricsPort },
  ]
  const compared = listeners.filter(
    (one) => one.port !== 0 && isSound(one.path) && (service === undefined || one.service === service),
  )
  return compared.flatMap((one, index): Problem[] => {
    const other = compared.slice(0, index).find((earlier) => earlier.port === one.port && overlap(earlier.host, one.host))
    if (other === undefined) return []
    // The one that somebody set is the one to change.
    const [blamed, against] = originOf(one.path) === 'default' ? [other, one] : [one, other]
    const found = `port ${one.port}, which ${against.path} has too (${originOf(against.path)})`
    return [{ path: blamed.path, source: originOf(blamed.path), found, allowed: 'a port of its own, or 0 for any free one' }]
  })
}

/** "127.0.0.1:0" or "[::1]:0", checked before. */
function split(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':')
  return { host: address.slice(0, colon).replaceAll(/[[\]]/g, ''), port: Number(address.slice(colon + 1)) }
}

/** Whether two addresses can't be listened on with the same port. */
function overlap(one: string, other: string): boolean {
  const same = (host: string): string => (host === 'localhost' ? '127.0.0.1' : host)
  return same(one) === same(other) || isWildcard(one) || isWildcard(other)
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

function checkLifetimes({ settings, originOf, isSound }: CrossCheckOptions): Problem[] {
  const { leafLifetimeHours, caLifetimeDays } = settings.tls
  if (!isSound('tls.leafLifetimeHours') || !isSound('tls.caLifetimeDays') || leafLifetimeHours <= caLifetimeDays * 24) return []
  const path = originOf('tls.leafLifetimeHours') === 'default' ? 'tls.caLifetimeDays' : 'tls.leafLifetimeHours'
  const found = `${leafLifetimeHours} hours for a service's certificate and ${caLifetimeDays} days for the CA's`
  return [{ path, source: originOf(path), found, allowed: "a CA that lives at least as long as the services' certificates" }]
}

function checkCacheType({ settings, originOf, isSound }: CrossCheckOptions): Problem[] {
  const { kvCacheType, flashAttention } = settings.inferenceWorker
  const [type, attention] = ['inferenceWorker.kvCacheType', 'inferenceWorker.flashAttention'] as const
  if (!isSound(type) || !isSound(attention) || kvCacheType === 'f16' || flashAttention !== 'off') return []
  return [{ path: type, source: originOf(type), found: `${kvCacheType}, with flashAttention off (${originOf(attention)})`, allowed: 'f16 without flash attention' }]
}

const keySettings = ['keyFile', 'keyVariable', 'keyCommand'] as const

function checkModelKey({ settings, originOf, isSound }: CrossCheckOptions): Problem[] {
  const set = keySettings.filter((name) => settings.modelEncryption[name].length > 0).map((name) => `modelEncryption.${name}`)
  const problems = set.slice(1).map((path): Problem => {
    const found = `a second place of the key, beside ${set[0]} (${originOf(set[0] ?? '')})`
    return { path, source: originOf(path), found, allowed: 'at most one of keyFile, keyVariable and keyCommand' }
  })
  const command = 'modelEncryption.keyCommand'
  const [program] = settings.modelEncryption.keyCommand
  if (program !== undefined && isSound(command) && !isAbsolute(program)) {
    problems.push({ path: command, source: originOf(command, [0]), found: 'a program without its folder', allowed: 'an absolute path first' })
  }
  return problems
}

import { createServer } from 'node:net'
import { once } from 'node:events'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { loadConfig } from '../../services/shared/config/load.ts'
import { publicAddress, wire } from './wiring.ts'

const env = { INTRAMUROS_HOME: '/nonexistent' }
const other = createServer()
beforeEach(async () => {
  other.listen(8443, '127.0.0.1')
  // Any program's will do, should the port be in use already.
  await Promise.race([once(other, 'listening'), once(other, 'error')]).catch(() => undefined)
})
afterEach(() => other.close())

it('moves from a default port that is taken, telling so, but not from one that was asked for', async () => {
  const wiring = await wire(loadConfig({ env }), {}, 'token', '/services')
  expect(wiring.notes).toContainEqual(expect.stringMatching(/^port 8443 \(gateway\.port\) is used by another program, so it is \d+ this time\.$/))
  expect(wiring.address).toBe(`https://localhost:${wiring.ports.get('gateway')?.['https']}`)
  await expect(wire(loadConfig({ env, overrides: { 'gateway.port': 8443 } }), {}, 'token', '/services')).rejects.toThrow(/set gateway\.port/)
})

it('gives each service what a valid configuration needs, with no port twice', async () => {
  const { specs } = await wire(loadConfig({ env, overrides: { 'audit.listen': '[::1]:0' } }), env, 'token', '/services')
  const binds = specs.flatMap((spec) => spec.binds.map(({ port }) => port))
  expect(new Set(binds).size).toBe(binds.length)
  for (const spec of specs) {
    const config = loadConfig({ env: spec.env })
    expect(config.gateway.audit).toEqual([config.audit.listen])
    expect(config.gateway.tokenizer).toBe(config.tokenizer.listen)
    expect(config.gateway.workers).toEqual([config.inferenceWorker.listen])
    expect(config.inferenceWorker.model).toBe('smollm2-135m-instruct')
    expect(spec.args).toEqual([`/services/${spec.name}/main.ts`, '--platform=token'])
  }
})

it('hands the key of encrypted models to those alone that read models', async () => {
  const config = loadConfig({ env: { ...env, INTRAMUROS_MODEL_ENCRYPTION_KEY_VARIABLE: 'INTRAMUROS_MODEL_KEY' } })
  const { specs } = await wire(config, { ...env, INTRAMUROS_MODEL_KEY: 'secret', OTHER: 'x' }, 'token', '/services')
  const holders = specs.filter(({ env: own }) => Object.values(own).includes('secret')).map(({ name }) => name)
  expect(holders).toEqual(['tokenizer', 'inference-worker'])
  expect(specs.every(({ env: own }) => own['OTHER'] === 'x')).toBe(true)
})

it('tells clients an address that the certificate holds', () => {
  expect(publicAddress('0.0.0.0', 8443)).toBe('https://localhost:8443')
  expect(publicAddress('192.0.2.7', 1)).toBe('https://192.0.2.7:1')
  expect(publicAddress('2001:db8::1', 1)).toBe('https://[2001:db8::1]:1')
})

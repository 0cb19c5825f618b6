import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { describeBusy, freePort, resolvePort } from './ports.ts'

const host = '127.0.0.1'
let other: Server
let port: number
beforeEach(async () => {
  other = createServer().listen(0, host)
  await once(other, 'listening')
  port = (other.address() as AddressInfo).port
})
afterEach(() => other.close())

it('finds distinct free ports', async () => {
  const taken = new Set<number>()
  const found = await Promise.all(Array.from({ length: 20 }, () => freePort(host, taken)))
  expect(new Set(found).size).toBe(20)
  for (const one of found) expect(one).toBeGreaterThanOrEqual(20_000)
})

it('takes the wanted port when it is free, and another for a default that is taken', async () => {
  const moved = await resolvePort({ setting: 'gateway.port', host, port, explicit: false }, new Set())
  expect(moved).not.toBe(port)
  expect(await resolvePort({ setting: 'gateway.port', host, port: moved, explicit: true }, new Set())).toBe(moved)
  expect(await resolvePort({ setting: 'gateway.port', host, port: moved, explicit: false }, new Set([moved]))).not.toBe(moved)
})

it('takes any free port for 0', async () => {
  expect(await resolvePort({ setting: 'gateway.port', host, port: 0, explicit: true }, new Set())).toBeGreaterThan(0)
})

it('names the setting of a port that the user asked for and another program has', async () => {
  await expect(resolvePort({ setting: 'gateway.port', host, port, explicit: true }, new Set())).rejects.toThrow(
    `Port ${port} of 127.0.0.1 is used by another program: end that one, or set gateway.port to another (0: any free one).`,
  )
  expect(await describeBusy([{ setting: 'gateway.port', host, port }])).toHaveLength(1)
})

it('tells an address that is not of this machine', async () => {
  await expect(resolvePort({ setting: 'gateway.port', host: '192.0.2.1', port: 8443, explicit: false }, new Set())).rejects.toThrow(/not an address of this machine/)
})

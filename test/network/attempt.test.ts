import { join } from 'node:path'
import { once } from 'node:events'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Observation } from '../../services/shared/isolation/observation.ts'
import { createNetwork, type NetworkNamespace } from '../support/network-namespaces.ts'

const script = join(import.meta.dirname, 'attempt.ts')
let site: NetworkNamespace
let pod: NetworkNamespace

/** `pod` has `site` as its way to everything; what listens does so in `site`, on all addresses. */
beforeAll(async () => {
  site = await createNetwork()
  pod = await site.join('pod')
  await site.ip('addr add 10.9.0.1/24 dev pod', 'addr add fd00:9::1/64 dev pod nodad', 'addr add 203.0.113.1/32 dev lo', 'addr add 2001:db8::1/128 dev lo nodad')
  await pod.ip('addr add 10.9.0.2/24 dev eth0', 'addr add fd00:9::2/64 dev eth0 nodad', 'route add default via 10.9.0.1', 'route add ::/0 via fd00:9::1')
  // Of what it rejects it would tell each second once.
  await site.run('sysctl', ['-w', 'net.ipv6.icmp.ratelimit=0', 'net.ipv4.icmp_ratelimit=0'])
  const server = site.start(process.execPath, [join(import.meta.dirname, 'listen.ts'), 'tcp:443', 'udp:53'])
  if (server.stdout !== null) await once(server.stdout, 'data')
})
afterAll(() => site.close())

async function attempts(from: NetworkNamespace, ...targets: string[]): Promise<string[]> {
  const { out, err } = await from.run(process.execPath, [script, '1500', ...targets])
  if (out === '') throw new Error(err)
  return (JSON.parse(out) as Observation[]).map(({ result, code }) => [result, code].join(' ').trim())
}

const everything = ['tcp:203.0.113.1:443', 'tcp:203.0.113.1:444', 'dns:203.0.113.1:53', 'dns:203.0.113.1:54', 'tcp:[2001:db8::1]:443', 'tcp:[2001:db8::1]:444', 'dns:[2001:db8::1]:53', 'dns:[2001:db8::1]:54']

test('an open network: what listens is reached, the rest refused', async () => {
  await site.rules({})
  const refused = 'refused ECONNREFUSED'
  expect(await attempts(pod, ...everything)).toEqual(['reached', refused, 'reached', refused, 'reached', refused, 'reached', refused])
})

test('a wall that says nothing', async () => {
  await site.rules({ input: ['meta l4proto { tcp, udp, icmp } drop', 'icmpv6 type echo-request drop'] })
  expect(await attempts(pod, ...everything)).toEqual(everything.map(() => 'silent'))
})

test('a wall that tells by ICMP that it is one', async () => {
  await site.rules({ input: ['meta l4proto { tcp, udp } reject with icmpx type admin-prohibited'] })
  const [tcp4, , udp4, , tcp6, , udp6] = await attempts(pod, ...everything)
  expect([tcp4, udp4]).toEqual(['rejected EHOSTUNREACH', 'rejected EHOSTUNREACH'])
  expect([tcp6, udp6]).toEqual(['rejected EACCES', 'rejected EACCES'])
})

test('a wall that refuses like a host', async () => {
  await site.rules({ input: ['meta l4proto tcp reject with tcp reset', 'meta l4proto udp reject with icmpx type port-unreachable'] })
  expect(await attempts(pod, ...everything)).toEqual(everything.map(() => 'refused ECONNREFUSED'))
})

test("a wall in the pod's own machine, and routes that lead nowhere", async () => {
  await site.rules({})
  await pod.rules({ output: ['ip daddr 203.0.113.7 drop'] })
  await pod.ip('route add unreachable 198.51.100.1', 'route add prohibit 198.51.100.2', 'route add blackhole 198.51.100.3')
  expect(await attempts(pod, 'dns:203.0.113.7:53', 'tcp:203.0.113.7:443', 'tcp:198.51.100.1:1', 'tcp:198.51.100.2:1', 'tcp:198.51.100.3:1', 'dns:198.51.100.3:53')).toEqual([
    'rejected EPERM', 'silent', 'rejected EHOSTUNREACH', 'rejected EACCES', 'rejected EINVAL', 'rejected EINVAL',
  ])
  await pod.rules({})
})

test('a machine that knows no way, or has no IPv6', async () => {
  const bare = await createNetwork()
  try {
    expect(await attempts(bare, 'tcp:203.0.113.1:443', 'dns:203.0.113.1:53')).toEqual(['no-route ENETUNREACH', 'no-route ENETUNREACH'])
    expect(await attempts(bare, 'tcp:[2001:db8::1]:443', 'dns:[2001:db8::1]:53')).toEqual([expect.stringMatching(/^no-route /), expect.stringMatching(/^no-route /)])
  } finally {
    await bare.close()
  }
})

test('a ping, where there is the program for it', async () => {
  await site.rules({})
  const [open] = await attempts(pod, 'ping:203.0.113.1')
  await site.rules({ input: ['icmp type echo-request drop'] })
  const [walled] = await attempts(pod, 'ping:203.0.113.1')
  expect([[open, walled]]).toEqual([open === 'untried no_ping' ? [open, open] : ['reached', 'silent']])
})

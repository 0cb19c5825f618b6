// From a pod with a worker's labels nothing can be reached: not what surely listens (the API server, the gateway's Service), not the outside, no name.
import { Socket } from 'node:net'
import { Resolver } from 'node:dns/promises'

const targets = process.env.TARGETS.split(',')

function isReached(target) {
  const [host, port] = [target.slice(0, target.lastIndexOf(':')), Number(target.slice(target.lastIndexOf(':') + 1))]
  return new Promise((resolve) => {
    const socket = new Socket()
    const end = (reached) => {
      socket.destroy()
      resolve(reached)
    }
    socket.setTimeout(4000, () => end(false))
    socket.on('connect', () => end(true))
    socket.on('error', () => end(false))
    socket.connect({ host, port })
  })
}

async function isNamed(server) {
  const resolver = new Resolver({ timeout: 2000, tries: 2 })
  resolver.setServers([server])
  try {
    await resolver.resolve4('kubernetes.default.svc.cluster.local')
    return true
  } catch (error) {
    // An answer is an answer, also one that there is no such name.
    return ['ENOTFOUND', 'ENODATA', 'ESERVFAIL', 'EREFUSED'].includes(error.code) && server !== '127.0.0.1'
  }
}

// Policies are enforced a moment after a pod has started.
let reached = []
for (let tries = 0; tries < 8; tries++) {
  const found = await Promise.all([...targets.map(async (target) => ((await isReached(target)) ? [target] : [])), ...(process.env.NAME_SERVERS ?? '').split(',').filter(Boolean).map(async (server) => ((await isNamed(server)) ? [`name server ${server}`] : []))])
  reached = found.flat()
  if (reached.length === 0) break
  await new Promise((resolve) => setTimeout(resolve, 2000))
}
console.log(reached.length === 0 ? `none of ${targets.length} addresses was reached: ${targets.join(', ')}` : `REACHED: ${reached.join(', ')}`)
process.exitCode = reached.length === 0 ? 0 : 1

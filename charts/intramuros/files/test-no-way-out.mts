// From a pod with a worker's labels nothing can be reached: not what surely listens (the API server, the gateway's Service), not the outside, no name server.
import { Resolver } from 'node:dns/promises'
import { Socket } from 'node:net'
import { setTimeout as after } from 'node:timers/promises'

const { TARGETS: targetText = '', NAME_SERVERS: serverText = '' } = process.env
const targets = targetText.split(',')
const servers = serverText.split(',').filter((server) => server !== '')

function reached(target: string): Promise<string[]> {
  const colon = target.lastIndexOf(':')
  return new Promise((resolve) => {
    const socket = new Socket()
    const end = (found: string[]): void => {
      socket.destroy()
      resolve(found)
    }
    socket.setTimeout(4000, () => end([]))
    socket.on('connect', () => end([target]))
    socket.on('error', () => end([]))
    socket.connect({ host: target.slice(0, colon), port: Number(target.slice(colon + 1)) })
  })
}

async function answering(server: string): Promise<string[]> {
  const resolver = new Resolver({ timeout: 2000, tries: 2 })
  resolver.setServers([server])
  const found = [`name server ${server}`]
  try {
    await resolver.resolve4('kubernetes.default.svc.cluster.local')
    return found
  } catch (error) {
    // An answer is an answer, also one that there is no such name.
    return ['ENOTFOUND', 'ENODATA', 'ESERVFAIL', 'EREFUSED'].includes((error as NodeJS.ErrnoException).code ?? '') ? found : []
  }
}

const tryAll = async (): Promise<string[]> => (await Promise.all([...targets.map((target) => reached(target)), ...servers.map((server) => answering(server))])).flat()

let found = await tryAll()
// Policies are enforced a moment after a pod has started.
for (let again = 0; again < 7 && found.length > 0; again++) {
  await after(2000)
  found = await tryAll()
}
const tried = [...targets, ...servers].join(', ')
process.stdout.write(found.length === 0 ? `nothing was reached of ${tried}\n` : `REACHED: ${found.join(', ')}\n`)
process.exitCode = found.length === 0 ? 0 : 1

import { hostname } from 'node:os'
import { type Command, CommanderError } from 'commander'
import { ConfigError, loadConfig } from '../../shared/config/load.ts'
import { attemptAll, defaultTimeoutMs } from '../../shared/isolation/attempt.ts'
import { outsideTargets } from '../../shared/isolation/outside.ts'
import { packageVersion } from '../../shared/supervision.ts'
import { identityPlace, watchIdentity } from '../../shared/tls/identity.ts'
import type { ProgramContext } from '../context.ts'
import { connectProbe } from '../isolation/ask-probe.ts'
import { readCluster } from '../isolation/cluster.ts'
import { collect } from '../isolation/collect.ts'
import { type ProbedComponent, probedComponents } from '../isolation/components.ts'
import { extraKinds, parseExtra } from '../isolation/plan.ts'
import { serveProbe } from '../isolation/probe-server.ts'
import { encodeReport, exitStatusOfOutcome } from '../isolation/report.ts'
import { describeReport, encodeTold } from '../isolation/told.ts'
import { recordInLedger } from '../isolation/to-ledger.ts'
import { silent } from '../silent.ts'
import { countOption } from './audit-options.ts'
import { misused } from './context.ts'

/** Where pods stand in a check of the walls: `probe serve` in pods with a component's labels, `probe collect` in one with the gateway's. */
export function registerProbe(program: Command, context: ProgramContext): void {
  const probe = program.command('probe', { hidden: true }).description('parts of a check of the walls, run by pods of a cluster; see "verify isolation"')
  registerServe(probe, context)
  registerCollect(probe, context)
}

function registerServe(probe: Command, { env, file, err }: ProgramContext): void {
  probe
    .command('serve')
    .description("try what a collector asks for, once, on the component's own port and with its certificate (status 2 when nobody asks)")
    .requiredOption('--component <name>', `whose labels and certificate this pod has: ${probedComponents.join(', ')}`)
    .option('--node <address>', "address of this pod's node", '')
    .option('--limit <seconds>', 'how long to wait to be asked', '600')
    .action(async (options: { component: string; node: string; limit: string }, command: Command) => {
      const component = probedComponents.find((one) => one === options.component) ?? misused(command, `--component is one of ${probedComponents.join(', ')}.`)
      const limitMs = 1000 * countOption(command, '--limit', options.limit, 1, 86_400)
      // A pod has one service: that others have the same port is no mistake here.
      const { tls, tokenizer, inferenceWorker, audit } = loadConfig({ env, file, service: component })
      const listen: Record<ProbedComponent, string> = { tokenizer: tokenizer.listen, audit: audit.listen, 'inference-worker': inferenceWorker.listen }
      const identity = await watchIdentity({ ...(await identityPlace(tls.folder, component)), log: silent })
      const asked = await serveProbe({
        component,
        pod: hostname(),
        node: options.node,
        identity,
        listen: listen[component],
        limitMs,
        log: silent,
        onListening: (port) => err.write(`Probe of ${component}: waiting on port ${port} to be asked.\n`),
      })
      identity.close()
      err.write(asked ? 'Asked and answered.\n' : `Nobody asked in ${options.limit} s.\n`)
      process.exitCode = asked ? 0 : 2
    })
}

interface CollectFlags {
  target: string[]
  expect: string
  node: string
  wait: string
  timeout: string
  workersMeet?: true
  kubeconfig?: string
}

function registerCollect(probe: Command, context: ProgramContext): void {
  const more = (value: string, before: string[]): string[] => [...before, value]
  probe
    .command('collect')
    .description('have all probes of the namespace try to get out, print what came of it, and have the ledger record it (status 0 held, 1 violated, 2 could not be checked)')
    .option('--target <kind=address>', `a further address that surely listens and must not be reached, for example cluster-dns=dns:10.96.0.10:53; kinds: ${extraKinds.join(', ')}`, more, [])
    .option('--expect <components>', 'components that there must be probes of', probedComponents.join(','))
    .option('--node <address>', "address of this pod's node", '')
    .option('--wait <seconds>', 'how long the probes may take to come up', '180')
    .option('--timeout <milliseconds>', 'longest wait for each attempt', String(defaultTimeoutMs))
    .option('--workers-meet', 'workers may talk to each other: a model is spread over several pods')
    .option('--kubeconfig <file>', "in place of the pod's service account")
    .action(async (flags: CollectFlags, command: Command) => {
      try {
        process.exitCode = await runCollect(flags, command, context)
      } catch (thrown) {
        if (thrown instanceof CommanderError || thrown instanceof ConfigError) throw thrown
        // Not 1: nothing was found out.
        context.err.write(`The check could not be made: ${thrown instanceof Error ? (thrown.message.split('\n')[0] ?? '') : 'it failed without an error'}\n`)
        process.exitCode = 2
      }
    })
}

async function runCollect(flags: CollectFlags, command: Command, { env, file, out, err }: ProgramContext): Promise<number> {
  const { tls, isolation, gateway, tokenizer, audit, inferenceWorker } = loadConfig({ env, file, service: 'gateway' })
  const { namespace, selector } = gateway.kubernetes
  if (namespace === '') misused(command, 'gateway.kubernetes.namespace is not set: this is for pods of a cluster.')
  const extra = flags.target.map((text) => parseExtra(text) ?? misused(command, `--target ${text} is none; for example cluster-dns=dns:10.96.0.10:53, of a kind of ${extraKinds.join(', ')}.`))
  const expected = flags.expect.split(',').map((name) => probedComponents.find((one) => one === name) ?? misused(command, `--expect takes some of ${probedComponents.join(',')}.`))
  const timeoutMs = countOption(command, '--timeout', flags.timeout, 100, 60_000)
  const waitMs = 1000 * countOption(command, '--wait', flags.wait, 0, 3600)
  const identity = await watchIdentity({ ...(await identityPlace(tls.folder, 'gateway')), log: silent })
  try {
    const { report, peers } = await collect({
      cluster: await readCluster(namespace, flags.kubeconfig),
      selector,
      extra,
      expected,
      head: { id: crypto.randomUUID(), software: packageVersion(), namespace, collector: hostname() },
      node: flags.node,
      outside: outsideTargets(isolation.outside),
      metricsPorts: { gateway: gateway.metricsPort, tokenizer: tokenizer.metricsPort, audit: audit.metricsPort, 'inference-worker': inferenceWorker.metricsPort },
      workersMeet: flags.workersMeet ?? false,
      waitMs,
      timeoutMs,
      connect: (pod) => connectProbe(pod, identity, 15_000),
      attemptHere: (targets) => attemptAll(targets, { timeoutMs }),
      now: () => new Date(),
      say: (line) => void err.write(`${line}\n`),
    })
    const bytes = encodeReport(report)
    err.write(`\n${describeReport(report)}`)
    const ledger = peers.find(({ component, ready, grpcPort }) => component === 'audit' && ready && grpcPort !== undefined)
    const receipt = await recorded()
    out.write(encodeTold({ report: bytes, receipt }))
    const status = exitStatusOfOutcome[report.outcome]
    return receipt === '' && status === 0 ? 2 : status

    async function recorded(): Promise<string> {
      try {
        if (ledger?.grpcPort === undefined) throw new Error('no audit service is ready.')
        const address = ledger.host.includes(':') ? `[${ledger.host}]:${ledger.grpcPort}` : `${ledger.host}:${ledger.grpcPort}`
        return await recordInLedger({ report, bytes, address, identity })
      } catch (thrown) {
        err.write(`The ledger could not record the check, so nobody vouches for it: ${thrown instanceof Error ? thrown.message : 'it failed without an error'}\n`)
        return ''
      }
    }
  } finally {
    identity.close()
  }
}

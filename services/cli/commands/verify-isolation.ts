import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Command, CommanderError } from 'commander'
import type { KubeConfig } from '@kubernetes/client-node'
import { KeyError, verifyReceipt } from '../../audit/verify-receipt.ts'
import type { ProgramContext } from '../context.ts'
import { digestOf, exitStatusOfOutcome, type Report } from '../isolation/report.ts'
import { describeReport, findTold, type Told } from '../isolation/told.ts'
import { countOption } from './audit-options.ts'
import { misused } from './context.ts'

interface Flags {
  namespace?: string
  release?: string
  context?: string
  kubeconfig?: string
  discover: boolean
  timeout: string
  log?: string
  output?: string
  key?: string
  json?: true
}

export function registerVerifyIsolation(program: Command, context: Pick<ProgramContext, 'out' | 'err'>): void {
  program
    .command('verify')
    .description('check what the platform promises')
    .command('isolation')
    .description(
      'in a Kubernetes cluster: try to get out of the walls from pods with the labels of each component, print what came of it, and save the report and the ledger\'s receipt of it (status 0 held, 1 violated, 2 could not be checked)',
    )
    .option('-n, --namespace <name>', 'namespace of the installation (default: that of the kubeconfig)')
    .option('--release <name>', 'which installation, where there are several in the namespace')
    .option('--context <name>', 'context of the kubeconfig')
    .option('--kubeconfig <file>', 'default: as kubectl has it')
    .option('--no-discover', 'try only what the installation itself was told of: do not ask the cluster for nodes, name servers and the like')
    .option('--timeout <seconds>', 'how long the check may take', '600')
    .option('--log <file>', 'make no check: read what one has printed, for example from "kubectl logs job/..."; - is standard input')
    .option('-o, --output <folder>', 'where isolation-report.json and isolation-receipt.txt are saved')
    .option('--key <vkey>', "public key of the ledger, or a file of it: the receipt is checked with it; without, only that it is this report's")
    .option('--json', 'print the report as JSON')
    .action(async (flags: Flags, command: Command) => {
      process.exitCode = await run(flags, command, context).catch((thrown: unknown) => {
        if (thrown instanceof CommanderError) throw thrown
        // Never 1, which says that the walls are open.
        context.err.write(`${reasonOf(thrown)}\n`)
        return 2
      })
    })
}

async function run(flags: Flags, command: Command, { out, err }: Pick<ProgramContext, 'out' | 'err'>): Promise<number> {
  const limitMs = 1000 * countOption(command, '--timeout', flags.timeout, 10, 86_400)
  const say = (line: string): void => void err.write(`${line}\n`)
  const log = flags.log === undefined ? await check() : readLog(flags.log)
  const found = findTold(log)
  if (found === undefined) {
    err.write(`The check told nothing. Its log ends with:\n${log.split('\n').slice(-20).join('\n')}\n`)
    return 2
  }
  const { told, report } = found
  if (flags.output !== undefined) save(flags.output, told, say)
  out.write(flags.json === true ? told.report : describeReport(report))
  const vouched = checkReceipt(told, report, flags.key, command, say)
  const status = exitStatusOfOutcome[report.outcome]
  return status === 0 && !vouched ? 2 : status

  async function check(): Promise<string> {
    const { BatchV1Api, CoreV1Api, DiscoveryV1Api, KubeConfig } = await import('@kubernetes/client-node')
    const { ClusterError, jobFrom, roleLabel, runJobs, scheduleOf } = await import('../isolation/operator/jobs.ts')
    const { discoverTargets } = await import('../isolation/operator/discover.ts')
    const config = new KubeConfig()
    try {
      loadKubeconfig(config, flags)
      const namespace = flags.namespace ?? config.getContextObject(config.getCurrentContext())?.namespace ?? 'default'
      const [batch, core, discovery] = [config.makeApiClient(BatchV1Api), config.makeApiClient(CoreV1Api), config.makeApiClient(DiscoveryV1Api)]
      const schedule = scheduleOf((await batch.listNamespacedCronJob({ namespace, labelSelector: roleLabel })).items, flags.release)
      const targets = flags.discover ? await discoverTargets({ core, discovery, say }) : []
      const id = crypto.randomUUID().slice(0, 8)
      const collector = jobFrom(schedule.collector, id, targets.flatMap((target) => ['--target', target]))
      return await runJobs({ batch, core, namespace, jobs: [...schedule.probes.map((probe) => jobFrom(probe, id)), collector], limitMs, say })
    } catch (thrown) {
      const why = thrown instanceof ClusterError || thrown instanceof KubeconfigError ? thrown.message : `The cluster could not be asked${at(config)}: ${reasonOf(thrown)}`
      say(why)
      throw new CommanderError(2, 'intramuros.unchecked', why)
    }
  }

  function readLog(file: string): string {
    try {
      return readFileSync(file === '-' ? 0 : file, 'utf8')
    } catch (thrown) {
      return misused(command, `the log ${file} can not be read: ${thrown instanceof Error && 'code' in thrown ? String(thrown.code) : ''}`)
    }
  }
}

/** The kubeconfig names no cluster that could be asked. */
class KubeconfigError extends Error {}

/** As kubectl has it, but a server that is not named is not taken to be on this machine. Throws KubeconfigError. */
function loadKubeconfig(config: KubeConfig, { kubeconfig, context }: Flags): void {
  try {
    if (kubeconfig === undefined) config.loadFromDefault()
    else config.loadFromFile(kubeconfig)
  } catch (thrown) {
    throw new KubeconfigError(`The kubeconfig${kubeconfig === undefined ? '' : ` ${kubeconfig}`} can not be read: ${reasonOf(thrown)}`)
  }
  const names = config.getContexts().map(({ name }) => name)
  if (context !== undefined) {
    if (!names.includes(context)) throw new KubeconfigError(`The kubeconfig has no context ${context}; contexts: ${names.length === 0 ? 'none' : names.join(', ')}.`)
    config.setCurrentContext(context)
  }
  const cluster = config.getCurrentCluster()
  if (cluster === null || cluster.server === 'http://localhost:8080') {
    throw new KubeconfigError('There is no kubeconfig that names a cluster: give --kubeconfig, or set KUBECONFIG, as for kubectl; and --context, where it has none that is current.')
  }
}

function at(config: KubeConfig): string {
  const server = config.getCurrentCluster()?.server
  return server === undefined ? '' : ` at ${server}`
}

/** The first line, with what is behind "fetch failed". */
function reasonOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return 'an unknown error'
  const cause: unknown = thrown.cause instanceof AggregateError ? thrown.cause.errors[0] : thrown.cause
  const [line = ''] = thrown.message.split('\n')
  return cause instanceof Error && cause.message !== '' ? `${line}: ${cause.message.split('\n')[0]}` : line
}

function save(folder: string, { report, receipt }: Told, say: (line: string) => void): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'isolation-report.json'), report)
  if (receipt !== '') writeFileSync(join(folder, 'isolation-receipt.txt'), receipt)
  say(`Saved in ${folder}.`)
}

/** Whether the ledger vouches for the report, as far as can be told here. */
function checkReceipt({ report: bytes, receipt }: Told, report: Report, key: string | undefined, command: Command, say: (line: string) => void): boolean {
  if (receipt === '') {
    say('The ledger has not recorded this check: nobody vouches for it.')
    return false
  }
  if (key === undefined) {
    say(`SHA-256 of the report: ${digestOf(bytes)}. The receipt says that the ledger recorded it; check it with --key, or with "intramuros audit verify --receipt".`)
    return true
  }
  const fault = receiptFault(receipt, bytes, key, command)
  say(fault ?? `The receipt holds: the ledger recorded this report (${report.id}).`)
  return fault === undefined
}

function receiptFault(receipt: string, bytes: string, key: string, command: Command): string | undefined {
  try {
    const result = verifyReceipt(receipt, existsSync(key) || !key.includes('+') ? readFileSync(key, 'utf8').trim() : key)
    if (!result.ok) return result.message
    if (result.record.type !== 'isolation.checked' || result.record.report !== digestOf(bytes)) return 'The receipt is of something else than this report.'
    return undefined
  } catch (thrown) {
    if (thrown instanceof KeyError) return misused(command, `--key is not the public key of a log: ${thrown.message}.`)
    if (thrown instanceof Error && 'code' in thrown) return misused(command, `the key in ${key} cannot be read: ${String(thrown.code)}`)
    throw thrown
  }
}

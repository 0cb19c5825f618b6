import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import { until } from './platform.ts'

/** A network of its own: nothing that is sent in it reaches this machine's. Linux; as root, or where user namespaces may be made. */
export interface NetworkNamespace {
  readonly pid: number
  /** Runs a program in it and resolves with what it wrote and its status. */
  run(program: string, args: readonly string[], options?: RunOptions): Promise<Ran>
  /** Starts a program in it, which is ended with it. */
  start(program: string, args: readonly string[], options?: { env?: NodeJS.ProcessEnv }): ChildProcess
  /** `ip ARGS`, words separated by blanks. Throws when it fails. */
  ip(...commands: string[]): Promise<void>
  /** Replaces all rules of nftables, by their hooks. */
  rules(chains: Partial<Record<'input' | 'forward' | 'output', readonly string[]>>): Promise<void>
  /** A namespace beside it, joined to it by a link `name` here and `eth0` there; both ends are up. */
  join(name: string): Promise<NetworkNamespace>
  close(): Promise<void>
}

export interface RunOptions {
  env?: NodeJS.ProcessEnv
  timeoutMs?: number
  input?: string
}

export interface Ran {
  status: number | null
  out: string
  err: string
}

const asRoot = process.getuid?.() === 0

/** An empty network, whose loopback is up. */
export function createNetwork(): Promise<NetworkNamespace> {
  return create((args) => spawn('unshare', [...(asRoot ? [] : ['--user', '--map-root-user']), '--net', ...args], { stdio: 'ignore' }))
}

async function create(spawnHolder: (args: string[]) => ChildProcess): Promise<NetworkNamespace> {
  const before = readlinkSync('/proc/self/ns/net')
  const holder = spawnHolder(['sleep', '3600'])
  const { pid = 0 } = holder
  const enter = ['--target', String(pid), '--net', ...(asRoot ? [] : ['--user', '--preserve-credentials'])]
  const children: ChildProcess[] = [holder]
  const joined: NetworkNamespace[] = []

  const namespace: NetworkNamespace = {
    pid,
    run(program, args, { env = process.env, timeoutMs = 30_000, input = '' } = {}) {
      return new Promise((resolve, reject) => {
        const child = execFile('nsenter', [...enter, program, ...args], { env, timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 2 ** 24 }, (error, out, err) => {
          if (error === null) resolve({ status: 0, out, err })
          else if (typeof error.code === 'number') resolve({ status: error.code, out, err })
          else reject(new Error(`${program} ${args.join(' ')}: ${error.message}\n${out}${err}`))
        })
        child.stdin?.on('error', () => undefined)
        child.stdin?.end(input)
      })
    },
    start(program, args, { env = process.env } = {}) {
      const child = spawn('nsenter', [...enter, program, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
      children.push(child)
      return child
    },
    async ip(...commands) {
      const { status, err } = await namespace.run('ip', ['-batch', '-'], { input: `${commands.join('\n')}\n` })
      if (status !== 0) throw new Error(`ip: ${err}`)
    },
    async rules(chains) {
      const table = Object.entries(chains).map(([hook, rules]) => `chain ${hook} {\ntype filter hook ${hook} priority 0;\n${rules.join('\n')}\n}\n`)
      const { status, err } = await namespace.run('nft', ['-f', '-'], { input: `flush ruleset\ntable inet walls {\n${table.join('')}}\n` })
      if (status !== 0) throw new Error(`nft: ${err}`)
    },
    async join(name) {
      const other = await create((args) => spawn('nsenter', [...enter, 'unshare', '--net', ...args], { stdio: 'ignore' }))
      joined.push(other)
      await namespace.ip(`link add ${name} type veth peer name eth0 netns ${other.pid}`, `link set ${name} up`)
      await other.ip('link set eth0 up')
      return other
    },
    async close() {
      await Promise.all(joined.map((one) => one.close()))
      await Promise.all(children.map(end))
    },
  }
  await until(() => holder.exitCode !== null || isElsewhere(pid, before), 'a network namespace')
  if (holder.exitCode !== null) throw new Error('no network namespace can be made here: it takes root, or user namespaces (unshare --user --net)')
  await namespace.ip('link set lo up')
  return namespace
}

/** In a namespace other than this process's, and the program that made it has become the one that holds it. */
function isElsewhere(pid: number, before: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`) !== before && readlinkSync(`/proc/${pid}/exe`).endsWith('/sleep')
  } catch {
    return false
  }
}

function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => {
    child.once('exit', () => resolve())
    child.kill('SIGKILL')
  })
}

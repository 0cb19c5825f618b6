import { execFile } from 'node:child_process'
import { runProgram } from '../support/run-program.ts'

/** An object of the API, as far as tests look at it. */
export interface KubernetesObject {
  metadata: { name: string; uid: string; labels?: Record<string, string>; deletionTimestamp?: string }
  spec: { nodeName?: string; containers?: { name: string }[]; ports?: { nodePort?: number; port: number }[]; replicas?: number }
  status: {
    phase?: string
    podIP?: string
    conditions?: { type: string; status: string; reason?: string; message?: string }[]
    containerStatuses?: { restartCount: number; ready: boolean }[]
    addresses?: { type: string; address: string }[]
    readyReplicas?: number
    updatedReplicas?: number
    observedGeneration?: number
  }
  data?: Record<string, string>
}

export interface Ended {
  status: number
  output: string
  errors: string
}

const callMs = 120_000

/** What kubectl prints. Throws an Error with what it said when it fails. */
export function kubectl(args: readonly string[], options: { input?: string; timeoutMs?: number } = {}): Promise<string> {
  return runProgram('kubectl', args, { timeoutMs: callMs, ...options })
}

export async function getObject(kind: string, name: string, namespace = 'default'): Promise<KubernetesObject> {
  return JSON.parse(await kubectl(['-n', namespace, 'get', kind, name, '-o', 'json'])) as KubernetesObject
}

export async function listObjects(kind: string, namespace: string, selector = ''): Promise<KubernetesObject[]> {
  const { items } = JSON.parse(await kubectl(['-n', namespace, 'get', kind, '-o', 'json', ...(selector === '' ? [] : ['-l', selector])])) as { items: KubernetesObject[] }
  return items
}

export async function apply(...objects: object[]): Promise<void> {
  await kubectl(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }) })
}

/** What Helm prints. Throws an Error with what it said when it fails. */
export function helm(args: readonly string[], options: { input?: string; timeoutMs?: number } = {}): Promise<string> {
  return runProgram('helm', args, { timeoutMs: callMs, ...options })
}

/** Runs a command on the node. */
export function onNode(...command: string[]): Promise<string> {
  return runProgram(process.env['INTRAMUROS_TEST_CLUSTER'] ?? '', ['node', ...command], { timeoutMs: callMs })
}

/** Runs a program to its end, whatever its status. */
export function ended(program: string, args: readonly string[], timeoutMs: number): Promise<Ended> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 64 * 2 ** 20 }, (error, output, errors) => {
      if (error === null) resolve({ status: 0, output, errors })
      else if (typeof error.code === 'number') resolve({ status: error.code, output, errors })
      else reject(new Error(`${program} ${args.join(' ')} did not end by itself.\n${output}${errors}`))
    })
  })
}

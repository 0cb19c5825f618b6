import type { BatchV1Api, CoreV1Api, V1CronJob, V1Job } from '@kubernetes/client-node'
import { setTimeout as after } from 'node:timers/promises'

/** On the CronJobs of a check: which part of it they are. */
export const roleLabel = 'intramuros.io/isolation'
export const instanceLabel = 'app.kubernetes.io/instance'

export interface Schedule {
  probes: V1CronJob[]
  collector: V1CronJob
}

/** Why a check can't be made in this namespace, for people. */
export class ClusterError extends Error {}

/** The CronJobs of one installation. Throws ClusterError when there are none, or of several. */
export function scheduleOf(found: readonly V1CronJob[], release: string | undefined): Schedule {
  const ours = found.filter(({ metadata }) => release === undefined || metadata?.labels?.[instanceLabel] === release)
  const releases = [...new Set(ours.map(({ metadata }) => metadata?.labels?.[instanceLabel] ?? ''))]
  if (releases.length > 1) throw new ClusterError(`There are several installations in this namespace: say which with --release (${releases.join(', ')}).`)
  const of = (role: string): V1CronJob[] => ours.filter(({ metadata }) => metadata?.labels?.[roleLabel] === role)
  const [collector] = of('collector')
  const probes = of('probe')
  if (collector === undefined || probes.length === 0) {
    throw new ClusterError('There is no isolation check in this namespace: CronJobs with the label intramuros.io/isolation. Is it the right namespace (-n), and is the check switched on in the chart?')
  }
  return { probes, collector }
}

/** A job as `kubectl create job --from` makes it, with further arguments for its first container. */
export function jobFrom({ metadata, spec }: V1CronJob, run: string, args: readonly string[] = []): V1Job {
  const template = spec?.jobTemplate
  const jobSpec = structuredClone(template?.spec)
  const container = jobSpec?.template.spec?.containers[0]
  if (jobSpec === undefined || container === undefined || metadata?.name === undefined || metadata.uid === undefined) throw new ClusterError('A CronJob of the check has no pods.')
  if (args.length > 0) container.args = [...(container.args ?? []), ...args]
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: `${metadata.name.slice(0, 50)}-${run}`,
      labels: { ...template?.metadata?.labels, 'intramuros.io/isolation-run': run },
      annotations: { ...template?.metadata?.annotations, 'cronjob.kubernetes.io/instantiate': 'manual' },
      ownerReferences: [{ apiVersion: 'batch/v1', kind: 'CronJob', name: metadata.name, uid: metadata.uid, controller: true }],
    },
    spec: jobSpec,
  }
}

export interface RunJobsOptions {
  batch: BatchV1Api
  core: CoreV1Api
  namespace: string
  /** Those before the last one are made with it, and only the last one is waited for. */
  jobs: readonly V1Job[]
  limitMs: number
  say(line: string): void
}

const pollMs = 1000

/** Makes the jobs, waits for the last one, and resolves with the log of its pod. All jobs are deleted in any case. Throws ClusterError. */
export async function runJobs({ batch, core, namespace, jobs, limitMs, say }: RunJobsOptions): Promise<string> {
  const made: string[] = []
  try {
    for (const body of jobs) {
      const job = await batch.createNamespacedJob({ namespace, body })
      made.push(nameOf(job))
    }
    const last = made.at(-1) ?? ''
    say(`Made ${made.length} jobs; waiting for ${last}.`)
    await ended(last)
    return await logOf(last)
  } finally {
    await Promise.all(made.map((name) => batch.deleteNamespacedJob({ name, namespace, propagationPolicy: 'Background' }).catch(() => say(`The job ${name} could not be deleted.`))))
  }

  async function ended(name: string): Promise<void> {
    const deadline = performance.now() + limitMs
    for (;;) {
      const { status } = await batch.readNamespacedJob({ name, namespace })
      if ((status?.succeeded ?? 0) > 0 || (status?.failed ?? 0) > 0) return
      if (performance.now() > deadline) throw new ClusterError(`The job ${name} has not ended in ${Math.round(limitMs / 1000)} s: see "kubectl describe job" and its pods.`)
      await after(pollMs)
    }
  }

  async function logOf(name: string): Promise<string> {
    const { items } = await core.listNamespacedPod({ namespace, labelSelector: `job-name=${name}` })
    const pod = items[0]?.metadata?.name
    if (pod === undefined) throw new ClusterError(`The job ${name} has no pod.`)
    return core.readNamespacedPodLog({ name: pod, namespace })
  }
}

function nameOf({ metadata }: V1Job): string {
  if (metadata?.name === undefined) throw new ClusterError('The cluster gave a job no name.')
  return metadata.name
}

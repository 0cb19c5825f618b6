import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Check } from 'typebox/schema'
import type { Static } from 'typebox'

const end = {
  type: 'object',
  required: ['how', 'at'],
  properties: { how: { type: 'string' }, at: { type: 'string' } },
} as const

const child = {
  type: 'object',
  required: ['name', 'pid', 'ports'],
  properties: {
    name: { type: 'string' },
    pid: { type: 'integer', minimum: 1 },
    ports: { type: 'object', additionalProperties: { type: 'integer' } },
    restarts: { type: 'integer' },
    lastEnd: end,
  },
} as const

const down = {
  type: 'object',
  required: ['name', 'givenUp'],
  properties: { name: { type: 'string' }, givenUp: { type: 'boolean' }, lastEnd: end },
} as const

const schema = {
  type: 'object',
  required: ['pid', 'token', 'startedAt', 'version', 'address', 'caFile', 'metricsHost', 'children'],
  properties: {
    pid: { type: 'integer', minimum: 1 },
    token: { type: 'string', minLength: 16 },
    startedAt: { type: 'string' },
    version: { type: 'string' },
    address: { type: 'string' },
    caFile: { type: 'string' },
    metricsHost: { type: 'string' },
    children: { type: 'array', items: child },
    down: { type: 'array', items: down },
  },
} as const

/**
 * What a running platform says about itself in `<home>/run/platform.json`: its process and its children's, since
 * when, and the ports that they were given (`grpc`, `https`, `metrics`). The token stands on each child's command
 * line and tells it from a stranger that got its process id. `down` are those that have died: to be started again, or given up.
 */
export type PlatformFile = Static<typeof schema>

/** Replaces the file in one step. */
export function writePlatformFile(home: string, content: PlatformFile): void {
  const file = pathIn(home)
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const temporary = `${file}.${process.pid}`
  writeFileSync(temporary, `${JSON.stringify(content, undefined, 2)}\n`, { mode: 0o600 })
  renameSync(temporary, file)
}

/** What the last start wrote, running or not; undefined when there is nothing (or nothing legible). */
export function readPlatformFile(home: string): PlatformFile | undefined {
  try {
    const content: unknown = JSON.parse(readFileSync(pathIn(home), 'utf8'))
    return Check(schema, content) ? content : undefined
  } catch {
    return undefined
  }
}

export function removePlatformFile(home: string): void {
  rmSync(pathIn(home), { force: true })
}

function pathIn(home: string): string {
  return join(home, 'run', 'platform.json')
}

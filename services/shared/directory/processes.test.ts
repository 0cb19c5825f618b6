import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type ApiKey, type Directory, openDirectory } from './directory.ts'

/** A process that opens the directory of a state folder when told to, and does with it what it is sent, one answer for each. */
const childScript = `
import { openDirectory } from ${JSON.stringify(join(import.meta.dirname, 'directory.ts'))}
let directory
const open = (home) => {
  directory?.close()
  directory = openDirectory({ home })
}
process.on('message', ([method, ...args]) => {
  try {
    process.send({ result: (method === 'open' ? open(...args) : directory[method](...args)) ?? null })
  } catch (error) {
    process.send({ refused: error.message })
  }
})
process.on('disconnect', () => process.exit())
process.send({ result: 'started' })
`

let home: string
let children: ChildProcess[]
let directories: Directory[]

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'intramuros-directory-'))
  children = []
  directories = []
})

afterEach(async () => {
  for (const directory of directories) directory.close()
  await Promise.all(children.map(end))
  await rm(home, { recursive: true, force: true })
})

function open(readOnly: boolean): Directory {
  const directory = openDirectory({ home, readOnly })
  directories.push(directory)
  return directory
}

async function start(): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['--input-type=module-typescript', '--eval', childScript], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  children.push(child)
  await answer(child)
  return child
}

async function startOpened(): Promise<ChildProcess> {
  const child = await start()
  await ask(child, 'open', home)
  return child
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

async function answer(child: ChildProcess): Promise<unknown> {
  const answered = once(child, 'message', { signal: AbortSignal.timeout(20_000) })
  const [message] = (await answered) as [{ result?: unknown; refused?: string }]
  if (message.refused !== undefined) throw new Error(message.refused)
  return message.result
}

function ask(child: ChildProcess, method: keyof Directory | 'open', ...args: unknown[]): Promise<unknown> {
  const answered = answer(child)
  child.send([method, ...args])
  return answered
}

test.each([true, false])('what another process did counts at the very next call (read-only: %s)', async (readOnly) => {
  const other = await startOpened()
  const directory = open(readOnly)
  expect(directory.listTeams()).toEqual([])

  await ask(other, 'addTeam', 'research', ['small'])
  const key = (await ask(other, 'createKey', 'research')) as ApiKey & { secret: string }
  expect(directory.authenticate(key.secret)).toMatchObject({ team: 'research', keyId: key.id, models: ['small'] })
  await ask(other, 'revokeKey', key.id)
  expect(directory.authenticate(key.secret)).toBeUndefined()

  const second = (await ask(other, 'createKey', 'research')) as ApiKey & { secret: string }
  expect(directory.authenticate(second.secret)).toBeDefined()
  await ask(other, 'removeTeam', 'research', { force: true })
  expect(directory.authenticate(second.secret)).toBeUndefined()
})

test('a process that is killed, and one that ends as the last, take nothing along', async () => {
  const first = await startOpened()
  await ask(first, 'addTeam', 'default', [])
  const directory = open(true)
  const key = (await ask(first, 'createKey', 'default')) as ApiKey & { secret: string }
  await end(first)
  expect(directory.authenticate(key.secret)).toBeDefined()
  directory.close()
  directories = []
  expect(open(true).authenticate(key.secret)).toBeDefined()
})

test('many processes that open a new directory at once make one of it', async () => {
  const many = await Promise.all(Array.from({ length: 4 }, start))
  for (let round = 0; round < 20; round++) {
    const folder = join(home, String(round))
    await Promise.all(many.map((child) => ask(child, 'open', folder)))
    const outcomes = await Promise.allSettled(many.map((child) => ask(child, 'addTeam', 'default', [])))
    expect(outcomes.filter((outcome) => outcome.status === 'fulfilled')).toHaveLength(1)
    const made = (await Promise.all(many.map((child) => ask(child, 'createKey', 'default')))) as (ApiKey & { secret: string })[]
    const directory = openDirectory({ home: folder, readOnly: true })
    for (const key of made) expect(directory.authenticate(key.secret)?.keyId).toBe(key.id)
    directory.close()
  }
})

test('two processes that write at the same time lose nothing', async () => {
  const writers = await Promise.all([startOpened(), startOpened()])
  const directory = open(false)
  directory.addTeam('default', [])
  const work = async (child: ChildProcess): Promise<(ApiKey & { secret: string })[]> => {
    const made: (ApiKey & { secret: string })[] = []
    while (made.length < 50) made.push((await ask(child, 'createKey', 'default')) as ApiKey & { secret: string })
    return made
  }
  const made = (await Promise.all(writers.map(work))).flat()
  expect(directory.listKeys().map((key) => key.id).toSorted()).toEqual(made.map((key) => key.id).toSorted())
  for (const key of made) expect(directory.authenticate(key.secret)?.keyId).toBe(key.id)
})

import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { Command, CommanderError } from 'commander'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DirectoryError } from '../../shared/directory/directory-error.ts'
import { openDirectory } from '../../shared/directory/directory.ts'
import { exitStatusOf } from './context.ts'
import { registerKeys } from './keys.ts'
import { registerTeams } from './teams.ts'

let home: string

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'intramuros-commands-'))
  const directory = openDirectory({ home })
  directory.addTeam('default', [])
  directory.close()
})

afterEach(() => rm(home, { recursive: true, force: true }))

interface Ran {
  status: number
  out: string
  err: string
}

async function run(...args: string[]): Promise<Ran> {
  const out = new PassThrough({ encoding: 'utf8' })
  const err = new PassThrough({ encoding: 'utf8' })
  const program = new Command('intramuros')
    .exitOverride()
    .configureOutput({ writeOut: (text) => out.write(text), writeErr: (text) => err.write(text) })
  const context = { directory: () => ({ home, place: undefined }), knownModels: () => ['small', 'large'], auditFolder: () => join(home, 'audit'), auditKeyFile: () => '', out, err }
  registerTeams(program, context)
  registerKeys(program, context)
  let status = 0
  try {
    await program.parseAsync(args, { from: 'user' })
  } catch (thrown) {
    if (thrown instanceof CommanderError) status = exitStatusOf(thrown)
    else if (thrown instanceof DirectoryError) {
      status = 1
      err.write(`${thrown.message}\n`)
    } else throw thrown
  }
  return { status, out: String(out.read() ?? ''), err: String(err.read() ?? '') }
}

async function json(...args: string[]): Promise<unknown> {
  const { status, out, err } = await run(...args, '--json')
  expect({ status, err }).toEqual({ status: 0, err: '' })
  return JSON.parse(out)
}

async function createKey(team: string): Promise<{ id: string; secret: string }> {
  return (await json('keys', 'create', '--team', team)) as { id: string; secret: string }
}

function authenticates(secret: string): string | undefined {
  const directory = openDirectory({ home, readOnly: true })
  try {
    return directory.authenticate(secret)?.team
  } finally {
    directory.close()
  }
}

test('a new key stands alone on standard output and works', async () => {
  const { status, out, err } = await run('keys', 'create', '--team', 'default', '--label', 'notebook')
  expect(status).toBe(0)
  expect(out).toMatch(/^sk-im-[0-9A-Za-z]{49}\n$/)
  expect(err).toMatch(/^Made key key_\w{10} for team "default"\. It is shown only now/)
  expect(err).not.toContain('sk-im-')
  expect(authenticates(out.trimEnd())).toBe('default')
})

test('the list of keys shows what a key is for, and never the key', async () => {
  const { out: secret } = await run('keys', 'create', '--team', 'default', '--label', 'notebook')
  const second = await createKey('default')
  await run('keys', 'revoke', second.id)
  const { status, out } = await run('keys', 'list')
  expect(status).toBe(0)
  const lines = out.trimEnd().split('\n')
  expect(lines[0]).toMatch(/^ID +TEAM +LABEL +CREATED +REVOKED$/)
  expect(lines).toHaveLength(3)
  expect(lines.find((line) => line.includes('notebook'))).toMatch(/^key_\w{10} +default +notebook +\S+Z$/)
  expect(lines.find((line) => line.startsWith(second.id))).toMatch(/default +\S+Z +\S+Z$/)
  const asJson = await json('keys', 'list', '--team', 'default')
  expect(Object.keys((asJson as object[])[0] ?? {})).toEqual(['id', 'team', 'label', 'createdAt', 'revokedAt'])
  for (const text of [out, JSON.stringify(asJson)]) {
    expect(text).not.toContain(secret.trimEnd().slice(6, 30))
    expect(text).not.toContain(second.secret.slice(6, 30))
  }
})

test('teams are added with their models, listed and removed', async () => {
  expect(await run('teams', 'add', 'research', '--models', 'small, large,small')).toMatchObject({
    status: 0,
    out: 'Added team "research", which may use small, large.\n',
  })
  await createKey('research')
  const { out } = await run('teams', 'list')
  expect(out.split('\n')[0]).toMatch(/^TEAM +MODELS +UNKNOWN PARAMETERS +WEIGHT +PRIORITY +KEEPS CONTENT UNDER +LIVE KEYS +CREATED$/)
  expect(out).toMatch(/^default +every served model +ignored +1 +interactive +0 +\S+Z$/m)
  expect(out).toMatch(/^research +small, large +ignored +1 +interactive +1 +\S+Z$/m)
  expect(await json('teams', 'list')).toMatchObject([
    { name: 'default', models: [], liveKeys: 0 },
    { name: 'research', models: ['small', 'large'], liveKeys: 1 },
  ])
  expect(await run('teams', 'set', 'research', '--unknown-parameters', 'refuse')).toMatchObject({ status: 0, out: 'Team "research": unknown parameters are refused, weight 1, priority interactive, content is not kept.\n' })
  expect(await json('teams', 'list')).toMatchObject([{ strictParameters: false }, { name: 'research', strictParameters: true }])
  expect(await json('teams', 'set', 'research', '--unknown-parameters', 'ignore')).toMatchObject({ strictParameters: false })
  expect(await json('teams', 'set', 'research', '--weight', '2.5', '--priority', 'batch')).toMatchObject({ strictParameters: false, weight: 2.5, batch: true })
  expect(await json('teams', 'set', 'research', '--priority', 'interactive')).toMatchObject({ weight: 2.5, batch: false })
  for (const wrong of [['--unknown-parameters', 'maybe'], ['--weight', 'much'], ['--weight', ''], ['--priority', 'high'], []]) {
    expect(await run('teams', 'set', 'research', ...wrong)).toMatchObject({ status: 2, out: '' })
  }
  expect(await run('teams', 'set', 'research', '--weight', '0')).toMatchObject({ status: 1, err: expect.stringContaining('from 0.001 to 1000') as string })
  expect(await run('teams', 'remove', 'research')).toMatchObject({ status: 1, out: '' })
  const forced = await run('teams', 'remove', 'research', '--force')
  expect(forced.status).toBe(0)
  expect(forced.out).toMatch(/^Removed team "research" and revoked key_\w{10}\.\n$/)
  expect(await json('teams', 'remove', 'default')).toEqual({ name: 'default', revoked: [] })
  expect(await run('teams', 'list')).toMatchObject({ status: 0, out: 'There are no teams.\n' })
})

test('a model that nobody knows is refused, and an empty list is not the list of all', async () => {
  const unknown = await run('teams', 'add', 'x', '--models', 'smal')
  expect(unknown.status).toBe(1)
  expect(unknown.err).toContain('did you mean "small"')
  expect(await run('teams', 'add', 'x', '--models', '')).toMatchObject({ status: 2, out: '' })
  expect(await run('teams', 'add', 'x', '--models', ' , ')).toMatchObject({ status: 2, out: '' })
  expect(await json('teams', 'list')).toHaveLength(1)
  expect(await json('teams', 'add', 'x', '--models', '*')).toMatchObject({ name: 'x', models: [] })
})

test('keys are revoked by id, by id within a team, and all of a team', async () => {
  await run('teams', 'add', 'other')
  const a = await createKey('default')
  const b = await createKey('default')
  const c = await createKey('default')
  const foreign = await createKey('other')
  const one = await run('keys', 'revoke', a.id)
  expect(one.status).toBe(0)
  expect(one.out).toContain(`Key ${a.id} of team "default" is revoked since`)
  expect(authenticates(a.secret)).toBeUndefined()

  expect(await run('keys', 'revoke', '--team', 'default', b.id, foreign.id)).toMatchObject({ status: 1, out: '' })
  expect([authenticates(b.secret), authenticates(foreign.secret)]).toEqual(['default', 'other'])

  expect(await json('keys', 'revoke', '--team', 'default', '--all')).toHaveLength(2)
  expect([b, c, foreign].map((key) => authenticates(key.secret))).toEqual([undefined, undefined, 'other'])
  const none = await run('keys', 'revoke', '--team', 'default', '--all')
  expect(none).toEqual({ status: 0, out: '', err: 'There was no live key to revoke.\n' })
})

test('a refusal has status 1 and a reason, wrong use has status 2, and neither repeats a key', async () => {
  const { secret } = await createKey('default')
  const cases: [string[], number, RegExp][] = [
    [['keys', 'create', '--team', 'defualt'], 1, /did you mean "default"/],
    [['keys', 'list', '--team', 'nobody'], 1, /does not exist/],
    [['keys', 'revoke', 'key_none'], 1, /no key with the id/],
    [['keys', 'revoke', secret], 1, /That is an API key, not the id of one/],
    [['teams', 'add', 'default'], 1, /already exists/],
    [['keys', 'create'], 2, /required option/],
    [['keys', 'revoke'], 2, /give the ids/],
    [['keys', 'revoke', '--team', 'default'], 2, /--all/],
    [['keys', 'revoke', '--all'], 2, /--team/],
    [['keys', 'revoke', 'key_x', '--all', '--team', 'default'], 2, /without ids/],
    [['keys', 'lst'], 2, /unknown command/],
    [['teams', 'list', '--jsn'], 2, /unknown option/],
    [['teams'], 2, /Usage/],
  ]
  for (const [args, status, text] of cases) {
    const ran = await run(...args)
    expect(ran).toMatchObject({ status, out: '' })
    expect(ran.err).toMatch(text)
    expect(ran.err).not.toContain(secret)
  }
  expect(await run('keys', '--help')).toMatchObject({ status: 0, err: '' })
  expect(authenticates(secret)).toBe('default')
})

test('a state folder without a platform stays as it is', async () => {
  await rm(home, { recursive: true })
  for (const args of [['teams', 'list'], ['teams', 'add', 'x'], ['keys', 'create', '--team', 'default']]) {
    const { status, out, err } = await run(...args)
    expect({ status, out }).toEqual({ status: 1, out: '' })
    expect(err).toContain('There are no teams and keys')
  }
  expect(existsSync(home)).toBe(false)
})

import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { Command, CommanderError } from 'commander'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ContentPart, type SealedPiece } from '../../../proto/gen/intramuros/v1/content.ts'
import { ContentError } from '../../shared/content/content-error.ts'
import { contentKeyFolder } from '../../shared/content/key-folder.ts'
import { newDataKey, sealPiece } from '../../shared/content/seal.ts'
import { readTeamKey } from '../../shared/content/team-key.ts'
import { DirectoryError } from '../../shared/directory/directory-error.ts'
import { openDirectory } from '../../shared/directory/directory.ts'
import { registerContentKeys } from './content-keys.ts'
import { registerContentShow } from './content-show.ts'
import { exitStatusOf } from './context.ts'
import { registerTeams } from './teams.ts'

const requestId = '11111111-2222-3333-4444-555555555555'
let home: string
let keys: string
let pieces: SealedPiece[]

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'content-commands-'))
  keys = join(home, 'keys')
  await mkdir(keys)
  const directory = openDirectory({ home })
  directory.addTeam('hr', [])
  directory.addTeam('it', [])
  directory.close()
  pieces = []
})
afterEach(() => rm(home, { recursive: true }))

async function run(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  const out = new PassThrough({ encoding: 'utf8' })
  const err = new PassThrough({ encoding: 'utf8' })
  const program = new Command('intramuros').exitOverride().configureOutput({ writeOut: (text) => out.write(text), writeErr: (text) => err.write(text) })
  const openReader = () =>
    Promise.resolve({
      async *content() {
        yield* pieces
      },
      close: () => Promise.resolve(),
    })
  const context = { directory: () => ({ home, place: undefined }), knownModels: () => [], auditFolder: () => '', auditKeyFile: () => '', keyFolder: () => Promise.resolve(keys), openReader, out, err }
  registerTeams(program, context)
  registerContentShow(registerContentKeys(program, context), context)
  let status = 0
  try {
    await program.parseAsync(args, { from: 'user' })
  } catch (thrown) {
    if (thrown instanceof CommanderError) status = exitStatusOf(thrown)
    else if (thrown instanceof DirectoryError || thrown instanceof ContentError) {
      status = 1
      err.write(`${thrown.message}\n`)
    } else throw thrown
  }
  return { status, out: String(out.read() ?? ''), err: String(err.read() ?? '') }
}

test('a key is made, used, replaced and destroyed', async () => {
  expect(await run('content', 'keys', 'create', 'hr-1', '--team', 'hr')).toMatchObject({ status: 0, out: expect.stringMatching(/^Made key hr-1\.[0-9a-f]{16} for team "hr"/) as string })
  expect(await run('content', 'keys', 'create', 'hr-1', '--team', 'hr')).toMatchObject({ status: 1, err: expect.stringContaining('There is or was') as string })
  expect((await run('teams', 'set', 'hr', '--keep-content', 'hr-1')).out).toContain('content is kept under the key "hr-1"')
  expect(await run('teams', 'set', 'it', '--keep-content', 'hr-1')).toMatchObject({ status: 1, err: expect.stringContaining('of another team') as string })
  expect((await run('teams', 'set', 'it', '--keep-content', '')).status).toBe(2)
  expect(JSON.parse((await run('teams', 'list', '--json')).out)).toMatchObject([{ name: 'hr', contentKey: 'hr-1' }, { name: 'it', contentKey: '' }])
  expect(await run('content', 'keys', 'destroy', 'hr-1')).toMatchObject({ status: 1, err: expect.stringContaining('give the team another first') as string })
  expect(await readdir(keys)).toEqual(['hr-1.key'])
  await run('teams', 'set', 'hr', '--keep-content', 'off')
  expect(await run('content', 'keys', 'destroy', 'hr-1')).toMatchObject({ status: 0, out: expect.stringMatching(/^Destroyed key hr-1\./) as string })
  expect(await readdir(keys)).toEqual([])
  // Again, for who is not sure.
  expect(await run('content', 'keys', 'destroy', 'hr-1')).toMatchObject({ status: 0, out: expect.stringContaining('gone already') as string })
  expect(await run('content', 'keys', 'create', 'hr-1', '--team', 'hr')).toMatchObject({ status: 1 })
  expect(await readdir(keys)).toEqual([])
  expect(JSON.parse((await run('content', 'keys', 'list', '--json')).out)).toMatchObject([{ name: 'hr-1', team: 'hr', destroyedAt: expect.any(String) as string }])
})

test('a key that is there already, from a Secret, is taken as it is; one that is none is not', async () => {
  await writeFile(join(keys, 'it-1.key'), randomBytes(32).toString('base64'))
  const { id } = await readTeamKey(keys, 'it-1')
  expect((await run('content', 'keys', 'create', 'it-1', '--team', 'it')).out).toContain(`Found key ${id}`)
  await writeFile(join(keys, 'it-2.key'), 'no key')
  expect((await run('content', 'keys', 'create', 'it-2', '--team', 'it')).status).toBe(1)
  expect(await run('content', 'keys', 'create', 'new', '--team', 'nobody')).toMatchObject({ status: 1, err: expect.stringContaining('does not exist') as string })
  expect(await run('content', 'keys', 'create', '../x', '--team', 'it')).toMatchObject({ status: 1, err: expect.stringContaining('A name of a key') as string })
  expect((await readdir(home)).filter((name) => name.endsWith('.key') && name !== 'directory.key')).toEqual([])
  keys = ''
  expect(await run('content', 'keys', 'create', 'it-3', '--team', 'it')).toMatchObject({ status: 1, err: expect.stringContaining('gateway.contentKeyFolder is not set') as string })
})

test('a key that can not be removed, as in a Secret that is mounted, is destroyed only once somebody has: it is said, and never used again', async () => {
  await run('content', 'keys', 'create', 'hr-1', '--team', 'hr')
  await rm(join(keys, 'hr-1.key'))
  await mkdir(join(keys, 'hr-1.key')) // what can't be removed as a file is, whoever runs the test
  expect(await run('content', 'keys', 'destroy', 'hr-1')).toMatchObject({ status: 1, out: '', err: expect.stringContaining('It still opens what was kept under it') as string })
  expect(await run('teams', 'set', 'hr', '--keep-content', 'hr-1')).toMatchObject({ status: 1, err: expect.stringContaining('was destroyed') as string })
  await rm(join(keys, 'hr-1.key'), { recursive: true })
  expect(await run('content', 'keys', 'destroy', 'hr-1')).toMatchObject({ status: 0, out: expect.stringContaining('gone already') as string })
})

test('what was kept is shown with its fingerprints, and what is missing or wrong is said', async () => {
  await run('content', 'keys', 'create', 'hr-1', '--team', 'hr')
  const dataKey = newDataKey(await readTeamKey(keys, 'hr-1'), { teamId: 'hr@abc', day: '2026-11-23' })
  const piece = (part: typeof ContentPart.PROMPT | typeof ContentPart.ANSWER, final: boolean, text: string) => sealPiece(dataKey, { requestId, part, sequence: 0, final }, Buffer.from(text))
  pieces = [piece(ContentPart.PROMPT, true, '{"the":"prompt"}'), piece(ContentPart.ANSWER, true, 'the answer')]
  const shown = await run('content', 'show', requestId, '--team', 'hr')
  expect(shown.out).toBe('{"the":"prompt"}\nthe answer\n')
  expect(shown.err).toMatch(/^prompt: 16 bytes in 1 pieces, kept 2026-11-23 under hr-1\.[0-9a-f]{16}, fingerprint [0-9a-f]{64}\nanswer: 10 bytes/)
  expect(await run('content', 'show', requestId, '--team', 'hr', '--part', 'answer')).toMatchObject({ out: 'the answer' })
  expect(JSON.parse((await run('content', 'show', requestId, '--team', 'hr', '--json')).out)).toMatchObject({ prompt: { text: '{"the":"prompt"}', whole: true, length: 16 }, answer: { text: 'the answer' } })
  expect(await run('content', 'show', requestId, '--team', 'it')).toMatchObject({ status: 1, out: '', err: expect.stringContaining('of another team') as string })
  expect(await run('content', 'show', requestId, '--team', 'hr', '--part', 'x')).toMatchObject({ status: 2 })
  pieces = pieces.slice(0, 1)
  expect((await run('content', 'show', requestId, '--team', 'hr')).err).toContain('answer: ITS END IS MISSING')
  await run('content', 'keys', 'destroy', 'hr-1')
  expect(await run('content', 'show', requestId, '--team', 'hr')).toMatchObject({ status: 1, out: '', err: expect.stringContaining('There is no key') as string })
})

test('keys are not where a backup of the content has them, too', () => {
  const folder = (contentKey: string): string => contentKeyFolder({ home: '/state', gateway: { contentKeyFolder: contentKey }, audit: { folder: '/log', contentFolder: '/content' } } as Parameters<typeof contentKeyFolder>[0])
  for (const wrong of ['/state', '/state/keys', '/log/keys', '/content/a/b']) expect(() => folder(wrong)).toThrow('inside of')
  for (const right of ['', '/keys', '/state-keys', '/content-keys']) expect(folder(right)).toBe(right)
})

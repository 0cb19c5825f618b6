import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readIdentities, recipientOf } from '../../services/shared/age/keys.ts'
import { decryptFile } from '../../services/shared/models/decrypt.ts'
import { encryptFile } from '../../services/shared/models/encrypt.ts'
import { type AgeTool, ageTool } from '../support/age-tool.ts'
import { runProgram } from '../support/run-program.ts'

const limits = { timeoutMs: 60_000 }
const signal = new AbortController().signal
let tool: AgeTool
let folder = ''

beforeAll(async () => {
  tool = await ageTool()
  folder = await mkdtemp(join(tmpdir(), 'intramuros-age-tool-'))
})
afterAll(() => rm(folder, { recursive: true }))

const chunk = 65_536
const sizes = [0, 1, chunk - 1, chunk, chunk + 1, 16 * chunk, 16 * chunk + 1, 5_000_000]

test.each([
  ['X25519', []],
  ['post-quantum', ['-pq']],
])('%s keys of age-keygen: what the tool encrypts we read, and what we encrypt it reads', async (name, flags) => {
  const keyFile = join(folder, `key-${name}`)
  await runProgram(tool.ageKeygen, [...flags, '-o', keyFile], limits)
  const identities = await readIdentities(await readFile(keyFile, 'utf8'))
  const recipient = (await runProgram(tool.ageKeygen, ['-y', keyFile], limits)).trim()
  expect(await Promise.all(identities.map(recipientOf))).toEqual([recipient])

  const [plain, theirs, ours, back] = ['plain', 'theirs.age', 'ours.age', 'back'].map((file) => join(folder, file)) as [string, string, string, string]
  for (const size of sizes) {
    const content = randomBytes(size)
    const sha256 = createHash('sha256').update(content).digest('hex')
    await writeFile(plain, content)
    await runProgram(tool.age, ['-r', recipient, '-o', theirs, plain], limits)
    expect(await decryptFile(theirs, identities, {}, signal), `${size} bytes`).toEqual({ size, sha256 })

    await encryptFile({ from: plain, to: ours, recipients: [recipient], sha256, signal })
    await runProgram(tool.age, ['-d', '-i', keyFile, '-o', back, ours], limits)
    expect((await readFile(back)).equals(content), `${size} bytes`).toBe(true)
  }
})

test('what the tool armors as text is refused for what it is', async () => {
  const keyFile = join(folder, 'key')
  await runProgram(tool.ageKeygen, ['-o', keyFile], limits)
  const identities = await readIdentities(await readFile(keyFile, 'utf8'))
  const [plain, armored] = [join(folder, 'plain'), join(folder, 'armored.age')]
  await writeFile(plain, 'weights')
  const [recipient] = await Promise.all(identities.map(recipientOf))
  await runProgram(tool.age, ['-a', '-r', recipient ?? '', '-o', armored, plain], limits)
  await expect(decryptFile(armored, identities, {}, signal)).rejects.toThrow('no file in the age format')
})

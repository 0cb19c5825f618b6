import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { render } from './helm.ts'

let folder = ''
beforeAll(async () => {
  // Helm shows notes only when it installs; so here they are the data of an object.
  folder = await mkdtemp(join(tmpdir(), 'notes-'))
  await cp(join(import.meta.dirname, '../../charts/intramuros'), folder, { recursive: true })
  const templates = join(folder, 'templates')
  await writeFile(join(templates, '_notes.tpl'), `{{- define "notes" }}${await readFile(join(templates, 'NOTES.txt'), 'utf8')}{{ end }}`)
  await writeFile(join(templates, 'notes.yaml'), 'kind: Notes\nmetadata: { name: notes }\ndata: { text: {{ include "notes" . | toJson }} }\n')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function warnings(scenario: string, ...set: string[]): Promise<string> {
  const text = (await render({ scenario, set, chart: folder })).find(({ kind }) => kind === 'Notes')?.data?.['text'] ?? ''
  expect(text).toContain('helm test llm -n llm --logs')
  return text.split('\n').filter((line) => line.startsWith('!!')).join('\n')
}

test('who installs with the defaults is warned of nothing', async () => {
  expect(await warnings('single-node')).toBe('')
  expect(await warnings('gpu-pools')).toBe('')
})

test.each([
  [['walls.enabled=false', 'walls.iKnowThisOpensTheWalls=true'], /THERE ARE NO WALLS[^]*ways out of any width/],
  [['isolation.selfCheck=off', 'isolation.check.enabled=false', 'walls.iKnowThisOpensTheWalls=true'], /Nobody looks whether the walls hold/],
  [['config.audit.onFailure=allow', 'audit.iAcceptUnrecordedAnswers=true'], /answered while they cannot be recorded/],
  [['gateway.resources.requests.memory=64Mi', 'pools[0].resources.requests.memory=64Mi'], /Memory requests and limits differ in gateway, pools\.small: where a node lets pods swap/],
  [['tokenizer.resources.limits.memory=null'], /differ in tokenizer:/],
])('%j is told', async (set, text) => {
  expect(await warnings('single-node', ...set)).toMatch(text)
})

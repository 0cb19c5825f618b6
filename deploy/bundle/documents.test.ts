import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { documentsFrom } from './documents.ts'

let root = ''
afterEach(() => rmSync(root, { recursive: true, force: true }))

function write(files: Record<string, string>): string {
  root = mkdtempSync(join(tmpdir(), 'intramuros-documents-'))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), text)
  }
  return root
}

test('links are followed, also in a circle, and neither out to the web nor into patterns', async () => {
  const project = write({
    'docs/a.md': '[b](b.md#part) [chart](../charts/README.md) [web](https://example.org/x.md) `^([a-z]([a-z0-9-]{0,61})?)?$` [here](#part)',
    'docs/b.md': '[back](a.md) [script](audit/check.py)',
    'docs/audit/check.py': '# [x](nowhere.md)',
    'charts/README.md': '',
    'docs/unlinked.md': '',
  })
  expect(await documentsFrom(project, ['docs/a.md'])).toEqual(['charts/README.md', 'docs/a.md', 'docs/audit/check.py', 'docs/b.md'])
})

test('a link to nowhere, or out of the project, is an error that names it', async () => {
  await expect(documentsFrom(write({ 'a.md': '[b](docs/b.md)' }), ['a.md'])).rejects.toThrow('a.md has a link to docs/b.md')
  rmSync(root, { recursive: true })
  await expect(documentsFrom(write({ 'a.md': '[b](../../etc/passwd)' }), ['a.md'])).rejects.toThrow('../../etc/passwd')
})

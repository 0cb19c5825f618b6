import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { images } from './image-list.ts'
import { npmClosure } from './npm-packages.ts'
import { traceSources } from './trace-sources.ts'

const project = join(import.meta.dirname, '../..')
let root = ''
afterEach(() => {
  if (root !== '') rmSync(root, { recursive: true })
  root = ''
})

function write(files: Record<string, string>): string {
  root = mkdtempSync(join(tmpdir(), 'intramuros-trace-'))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), text)
  }
  return root
}

test('imports, threads and files are followed, types and what is only said are not', async () => {
  const traced = await traceSources(
    write({
      'a/main.ts': "import type { T } from './types.ts'\nimport { b } from '../b.ts'\nimport { readFileSync } from 'node:fs'\nimport pino from 'pino'\nimport x from '@scope/name/deep'\n// import './never.ts'\nconst said = \"import './never.ts' from 'nowhere'\"\nconst t: T = await import('./later.ts')\nnew Worker(new URL('thread.ts', import.meta.url))\nreadFileSync(new URL('../data.json', import.meta.url))\nb(said, t, pino, x)\n",
      'a/later.ts': 'export const later = 1',
      'a/thread.ts': "import './later.ts'",
      'b.ts': 'export function b(...all: unknown[]): void {}',
      'data.json': '{}',
      'a/never.ts': 'throw 1',
      'a/types.ts': 'export type T = unknown',
    }),
    ['a/main.ts'],
  )
  expect([...traced.modules.keys()].toSorted()).toEqual(['a/later.js', 'a/main.js', 'a/thread.js', 'b.js'])
  expect(traced.files).toEqual(['data.json'])
  expect(traced.packages).toEqual(['@scope/name', 'pino'])
  const main = traced.modules.get('a/main.js') ?? ''
  expect(main).toContain("from '../b.js'")
  expect(main).toContain("import('./later.js')")
  expect(main).toContain("new URL('thread.js', import.meta.url)")
  expect(main).toContain("import './never.ts' from 'nowhere'")
})

test('no image but a worker’s has libraries for a GPU, and none has the tools of those who build', async () => {
  for (const image of images) {
    const { packages } = await traceSources(project, image.entries)
    const names = npmClosure(
      project,
      packages.filter((name) => !image.without.includes(name)),
      image.natives,
    ).map(({ name }) => name)
    const gpu = names.filter((name) => /cuda|vulkan|metal/.test(name))
    expect({ image: image.name, gpu: gpu.length > 0 }).toEqual({ image: image.name, gpu: image.name === 'worker-cuda' || image.name === 'worker-vulkan' })
    for (const tool of ['vitest', 'typescript', 'oxlint', 'ts-proto', '@bufbuild/buf']) expect(names).not.toContain(tool)
    expect(names.includes('@kubernetes/client-node')).toBe(['gateway', 'audit', 'probe'].includes(image.name))
  }
})

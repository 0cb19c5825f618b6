import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { partsOf } from '../../deploy/images/build-image.ts'
import { images } from '../../deploy/images/image-list.ts'
import { sbomOf } from '../../deploy/images/sbom.ts'
import { pythonEnvironment } from '../support/python.ts'
import { runProgram } from '../support/run-program.ts'

/** Of the project that maintains the schema. */
const requirements = ['cyclonedx-python-lib[json-validation]==11.12.0']
let folder: string
let python: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'intramuros-sbom-'))
  python = await pythonEnvironment('cyclonedx', requirements)
}, 600_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function check(names: readonly string[]): Promise<string[]> {
  const said = await runProgram(python, [join(import.meta.dirname, 'sbom_check.py'), ...names.map((name) => join(folder, name))], { timeoutMs: 60_000 })
  return said.trim().split('\n')
}

test('the bill of materials of each image is valid CycloneDX 1.6, and one that is not would be found', async () => {
  for (const image of images) {
    // oxlint-disable-next-line no-await-in-loop -- a handful
    const { debian, npm } = await partsOf(image)
    writeFileSync(join(folder, image.name), sbomOf({ name: image.name, type: 'container', version: '1.2.3', node: '26.0.0', debian, npm }))
  }
  expect(await check(images.map(({ name }) => name))).toEqual(images.map(({ name }) => `${name}: valid`))

  const text = readFileSync(join(folder, 'audit'), 'utf8')
  const broken = { licence: text.replace('"id": "MIT"', '"id": "my own"'), hash: text.replace(/"content": "[0-9a-f]{64}"/, '"content": "00"'), twice: text.replace('"components": [', '"unheard-of": 1, "components": [') }
  for (const [name, changed] of Object.entries(broken)) {
    expect(changed).not.toBe(text)
    writeFileSync(join(folder, name), changed)
  }
  for (const said of await check(Object.keys(broken))) expect(said).not.toContain(': valid')
})

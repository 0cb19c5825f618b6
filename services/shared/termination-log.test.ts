import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { writeTerminationLog } from './termination-log.ts'

let folder: string
let file: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'intramuros-termination-'))
  file = join(folder, 'termination-log')
})
afterEach(() => rmSync(folder, { recursive: true }))

it('replaces what was left before, and takes it back', () => {
  writeFileSync(file, 'something longer that was left before')
  writeTerminationLog('Damaged.', file)
  expect(readFileSync(file, 'utf8')).toBe('Damaged.')
  writeTerminationLog('', file)
  expect(readFileSync(file, 'utf8')).toBe('')
})

it('makes no file where there is none', () => {
  writeTerminationLog('Damaged.', file)
  expect(existsSync(file)).toBe(false)
})

it('leaves no more than Kubernetes keeps', () => {
  writeFileSync(file, '')
  writeTerminationLog('x'.repeat(100_000), file)
  expect(readFileSync(file).length).toBe(2048)
})

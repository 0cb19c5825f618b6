import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { writeOrCheck } from './write-or-check.ts'

let folder = ''
let exitCode: typeof process.exitCode
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'intramuros-config-'))
  exitCode = process.exitCode
  vi.spyOn(process.stderr, 'write').mockReturnValue(true)
})
afterEach(() => {
  process.exitCode = exitCode
  vi.restoreAllMocks()
  rmSync(folder, { recursive: true })
})

test('--check fails for a file that is absent or another, --write writes it, and then --check passes', () => {
  const file = join(folder, 'generated.txt')
  const target = pathToFileURL(file)
  process.exitCode = 0
  writeOrCheck(target, 'new', ['--check'])
  expect(process.exitCode).toBe(1)

  process.exitCode = 0
  writeFileSync(file, 'old')
  writeOrCheck(target, 'new', ['--check'])
  expect(process.exitCode).toBe(1)
  expect(readFileSync(file, 'utf8')).toBe('old')

  process.exitCode = 0
  writeOrCheck(target, 'new', ['--write'])
  writeOrCheck(target, 'new', ['--check'])
  expect(process.exitCode).toBe(0)
  expect(readFileSync(file, 'utf8')).toBe('new')
})

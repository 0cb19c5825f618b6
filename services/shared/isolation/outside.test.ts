import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { outsideTargets, usualOutside } from './outside.ts'
import { formatTarget, isMetadataAddress } from './target.ts'

test('where nothing is set, all ways out are tried, and the guide lists them', () => {
  const targets = outsideTargets([])
  expect(targets.map(formatTarget)).toEqual(usualOutside)
  expect(new Set(targets.map(({ method }) => method))).toEqual(new Set(['tcp', 'dns', 'ping']))
  expect(targets.some(({ host }) => isMetadataAddress(host))).toBe(true)
  const guide = readFileSync(new URL('../../../docs/isolation.md', import.meta.url), 'utf8')
  for (const text of usualOutside) expect(guide).toContain(`\`${text}\``)
})

test('what is set takes their place', () => {
  expect(outsideTargets(['tcp:192.0.2.1:443']).map(formatTarget)).toEqual(['tcp:192.0.2.1:443'])
})

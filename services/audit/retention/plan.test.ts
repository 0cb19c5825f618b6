import fc from 'fast-check'
import { expect, test } from 'vitest'
import { loadConfig } from '../../shared/config/load.ts'
import { byBundles, cutOff, doubtfulRetention } from './plan.ts'

test('by default everything is kept for a year, which nobody is warned of', () => {
  const { retention } = loadConfig({ env: { INTRAMUROS_HOME: '/nonexistent', HOME: '/home/me' } }).audit
  expect(retention).toEqual({ requestsDays: 365, securityDays: 365, administrationDays: 365 })
  expect(doubtfulRetention(retention)).toEqual([])
})

test('less than the longest six months that there are, or more than a year, is told', () => {
  expect(doubtfulRetention({ requestsDays: 183, securityDays: 184, administrationDays: 366 })).toEqual([{ setting: 'audit.retention.requestsDays', days: 183, why: 'too_short' }])
  expect(doubtfulRetention({ requestsDays: 200, securityDays: 1, administrationDays: 367 })).toEqual([
    { setting: 'audit.retention.securityDays', days: 1, why: 'too_short' },
    { setting: 'audit.retention.administrationDays', days: 367, why: 'too_long' },
  ])
  expect(cutOff({ requestsDays: 200, securityDays: 1, administrationDays: 2 }, 'security', Date.UTC(2026, 2, 1))).toBe(Date.UTC(2026, 1, 28))
})

test('parts are whole bundles, of so many at most, and all of it', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(5000), { maxLength: 200 }), fc.integer({ min: 1, max: 5 }), (unsorted, most) => {
      const indexes = unsorted.toSorted((a, b) => a - b)
      const parts = [...byBundles(indexes, most)]
      expect(parts.flat()).toEqual(indexes)
      const bundles = parts.map((part) => new Set(part.map((index) => Math.floor(index / 256))))
      for (const part of bundles) expect(part.size).toBeLessThanOrEqual(most)
      expect(new Set(bundles.flatMap((part) => [...part])).size).toBe(bundles.reduce((sum, { size }) => sum + size, 0))
    }),
  )
})

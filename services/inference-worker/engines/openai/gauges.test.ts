import { expect, test } from 'vitest'
import { readGauge } from './gauges.ts'

test('a gauge is the sum over its labels', () => {
  const text = '# TYPE x gauge\nx{a="1 } 5"} 2.0\nx{a="2"} 3e0 1700000000\nx_total 9\nxy 9\ny 4\r\nz NaN\nn -1\n'
  expect(readGauge(text, 'x')).toBe(5)
  expect(readGauge(text, 'y')).toBe(4)
  expect([readGauge(text, 'z'), readGauge(text, 'n'), readGauge(text, 'absent')]).toEqual([undefined, undefined, undefined])
})

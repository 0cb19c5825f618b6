import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bundlesOf, parseTilePath, partialTiles, tilePath, tilesOf, widthAt } from './tile-path.ts'

test('paths are those of tlog-tiles', () => {
  expect(tilePath({ level: 0, index: 1_234_067, width: 256 })).toBe('tile/0/x001/x234/067')
  expect(tilePath({ level: 2, index: 0, width: 1 })).toBe('tile/2/000.p/1')
  expect(tilePath({ level: 'entries', index: 999, width: 255 })).toBe('tile/entries/999.p/255')
  expect(tilePath({ level: 'entries', index: 1000, width: 256 })).toBe('tile/entries/x001/000')
})

test('what a path names is found again, and nothing else is a path', () => {
  const level = fc.oneof(fc.constant('entries' as const), fc.nat(6))
  fc.assert(
    fc.property(level, fc.maxSafeNat(), fc.integer({ min: 1, max: 256 }), (level, index, width) => {
      const place = level === 'entries' ? { level, index, width } : { level, index, width }
      expect(parseTilePath(tilePath(place))).toEqual(place)
    }),
  )
  for (const path of [
    '', 'checkpoint', 'tile/0/0', 'tile/0/00', 'tile/7/000', 'tile/00/000', 'tile/0/x000/001', 'tile/0/x001/x234/67', 'tile/0/001/002', 'tile/0/x001', 'tile/0/000.p/0', 'tile/0/000.p/01', 'tile/0/000.p/256', 'tile/0/000.p/300', 'tile/0/x100/x000/x000/x000/x000/000',
    'tile/0/000.p/', 'tile/0/000.p/1/', '/tile/0/000', 'tile/0/000 ', 'tile/0/000\n', 'tile/entries/../000', 'tile/0/x999/x999/x999/x999/x999/999', 'tile/-1/000',
  ]) expect(parseTilePath(path), path).toBeUndefined()
})

test('the tiles of a tree are as many and as wide as tlog-tiles says', () => {
  expect(partialTiles(70_000)).toEqual([{ level: 0, index: 273, width: 112 }, { level: 1, index: 1, width: 17 }, { level: 2, index: 0, width: 1 }])
  expect(partialTiles(256)).toEqual([{ level: 1, index: 0, width: 1 }])
  expect(partialTiles(0)).toEqual([])
  expect([...tilesOf(0)]).toEqual([])
  expect([...bundlesOf(257)]).toEqual([{ level: 'entries', index: 0, width: 256 }, { level: 'entries', index: 1, width: 1 }])
  expect(widthAt(70_000, 1, 1)).toBe(17)
  expect(widthAt(70_000, 1, 2)).toBe(0)
  expect(widthAt(70_000, 3, 0)).toBe(0)
  fc.assert(
    fc.property(fc.nat(200_000), (size) => {
      const tiles = [...tilesOf(size)]
      for (const level of [0, 1, 2]) expect(tiles.filter((tile) => tile.level === level).reduce((sum, tile) => sum + tile.width, 0)).toBe(Math.floor(size / 256 ** level))
      expect(tiles.filter((tile) => tile.width < 256)).toEqual(partialTiles(size))
    }),
  )
})

import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { hashBytes } from '../tlog/merkle.ts'
import { fullWidth, tilesOf } from '../tlog/tile-path.ts'
import { HeadMovedError, type LogStore } from './store.ts'
import { ModelLog, someEntries } from './test-support/model-log.ts'

/** Where one log is kept. */
export interface LogPlace {
  /** Opens the log as its only writer. At first there is none: it begins empty. */
  open(): Promise<LogStore>
  /** Opens the log while another has it open, past what keeps a second writer out. Closed before that one. */
  openBeside(): Promise<LogStore>
  /** Removes the log. Nothing is open. */
  remove(): Promise<void>
}

/** What every LogStore does, as tests. `newPlace` makes a place of its own each time, with nothing there. */
export function logStoreConformance(newPlace: () => Promise<LogPlace>): void {
  const places: LogPlace[] = []
  const opened: LogStore[] = []

  async function place(): Promise<LogPlace> {
    const made = await newPlace()
    places.push(made)
    return made
  }

  async function keep(opening: Promise<LogStore>): Promise<LogStore> {
    const store = await opening
    opened.unshift(store)
    return store
  }

  async function close(store: LogStore): Promise<void> {
    opened.splice(opened.indexOf(store), 1)
    await store.close()
  }

  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close()
    for (const made of places.splice(0)) await made.remove()
  })

  describe('a log that was never written', () => {
    test('is empty', async () => {
      const store = await keep((await place()).open())
      await expectSame(store, new ModelLog())
      expect((await store.head()).size).toBe(0)
      expect(await store.checkpoint()).toBeUndefined()
      expect(store.lost.aborted).toBe(false)
    })
  })

  describe('appending', () => {
    test('one entry after the other, and what was written is there, byte for byte', async () => {
      const store = await keep((await place()).open())
      const model = new ModelLog()
      for (const entry of someEntries(5, 'single')) {
        await model.append(store, [entry])
        await expectSame(store, model)
      }
    })

    test('entries of the least and the greatest length, of each byte that there is', async () => {
      const store = await keep((await place()).open())
      const model = new ModelLog()
      const allBytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
      await model.append(store, [Buffer.alloc(1), Buffer.alloc(65_535, 0xff), allBytes, Buffer.from('\\x00\\134"{},NULL'), Buffer.of(0xff)])
      await model.append(store, [allBytes, allBytes])
      await expectSame(store, model)
    })

    test.each([[255], [256], [257], [511, 2], [1, 255, 256], [700, 1000], [255, 1, 255, 1]])('groups of %i, %i, %i, %i entries around the borders of tiles', async (...groups) => {
      const store = await keep((await place()).open())
      const model = new ModelLog()
      for (const [at, count] of groups.entries()) {
        await model.append(store, someEntries(count, `group ${at}`))
        await expectSame(store, model)
      }
    })

    test('as many as make a tile of the second level full', async () => {
      const here = await place()
      const store = await keep(here.open())
      const model = new ModelLog()
      for (const [at, count] of [40_000, 25_535, 1, 600].entries()) {
        await model.append(store, someEntries(count, `many ${at}`, () => 20))
        if (at > 0) await expectSame(store, model)
      }
      expect(model.tile(2, 0, 1)).toHaveLength(hashBytes)
    })

    test('a batch that begins elsewhere than the log ends is refused, and nothing of it is stored', async () => {
      const store = await keep((await place()).open())
      const model = new ModelLog()
      await model.append(store, someEntries(300, 'first'))
      const next = model.batch(someEntries(300, 'next'))
      const otherRoot = Buffer.from(next.from.root)
      otherRoot[31] = (otherRoot[31] ?? 0) ^ 1
      for (const from of [{ ...next.from, root: otherRoot }, { ...next.from, size: 299 }, new ModelLog().head]) {
        await expect(store.append({ ...next, from })).rejects.toBeInstanceOf(HeadMovedError)
        await expectSame(store, model)
      }
    })

    test('of two writers, the second is told that the head has moved, and nothing of its batch is stored', async () => {
      const here = await place()
      const [first, second] = [await keep(here.open()), await keep(here.openBeside())]
      const model = new ModelLog()
      await model.append(first, someEntries(200, 'common'))
      const [mine, theirs] = [someEntries(100, 'mine'), someEntries(100, 'theirs')]
      const late = model.batch(theirs)
      await model.append(first, mine)
      await expect(second.append(late)).rejects.toBeInstanceOf(HeadMovedError)
      await expectSame(first, model)
      await expectSame(second, model)
    })

    test('of two writers at the same moment, one at most gets its batch in', async () => {
      const here = await place()
      const stores = [await keep(here.open()), await keep(here.openBeside())]
      const model = new ModelLog()
      for (let round = 0; round < 10; round++) {
        const batches = stores.map((_, writer) => someEntries(70, `round ${round} of writer ${writer}`))
        const outcomes = await Promise.allSettled(stores.map((store, writer) => store.append(model.batch(batches[writer] ?? []))))
        const winners = outcomes.flatMap((outcome, writer) => (outcome.status === 'fulfilled' ? [writer] : []))
        expect(winners.length).toBeLessThanOrEqual(1)
        for (const outcome of outcomes) if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(HeadMovedError)
        for (const winner of winners) model.accept(batches[winner] ?? [])
      }
      expect(model.entries.length).toBeGreaterThan(0)
      for (const store of stores) await expectSame(store, model)
    })
  })

  describe('reading', () => {
    test('any range of entries', async () => {
      const store = await keep((await place()).open())
      const model = new ModelLog()
      await model.append(store, someEntries(1500, 'ranges', () => 30))
      for (const [from, to] of [[0, 0], [1500, 1500], [0, 1], [1499, 1500], [255, 257], [256, 512], [100, 1400]] as const) {
        expect(await allOf(store, from, to)).toEqual(inHex(model.entries.slice(from, to)))
      }
    })

    test('entries beyond the head are a RangeError, as is a range that is none', async () => {
      const store = await keep((await place()).open())
      await new ModelLog().append(store, someEntries(10, 'ten'))
      for (const [from, to] of [[0, 11], [11, 12], [5, 4], [-1, 3], [0.5, 3], [0, Number.NaN]] as const) {
        await expect(allOf(store, from, to)).rejects.toBeInstanceOf(RangeError)
      }
    })

    test('a reader who leaves off early leaves nothing behind that would hinder others', async () => {
      const store = await keep((await place()).open())
      const model = new ModelLog()
      await model.append(store, someEntries(3000, 'left off', () => 30))
      for (let reader = 0; reader < 30; reader++) {
        for await (const entry of store.entries(reader, 3000)) {
          expect(entry).toBeDefined()
          break
        }
      }
      await model.append(store, someEntries(5, 'after'))
      await expectSame(store, model)
    })

    test('entries may be appended while others are read', async () => {
      const store = await keep((await place()).open())
      const model = new ModelLog()
      await model.append(store, someEntries(2000, 'before', () => 30))
      let read = 0
      for await (const entry of store.entries(0, 2000)) {
        expect(inHex([entry])).toEqual(inHex([model.entries[read]]))
        read++
        if (read % 500 === 0) await model.append(store, someEntries(100, `at ${read}`))
      }
      expect(read).toBe(2000)
      await expectSame(store, model)
    })

    test('a tile that there is not is undefined, as is a wider one than there is', async () => {
      const store = await keep((await place()).open())
      await new ModelLog().append(store, someEntries(300, 'tiles'))
      for (const [level, index, width] of [[0, 1, 45], [0, 1, 256], [0, 2, 1], [1, 0, 2], [1, 0, 256], [2, 0, 1], [6, 0, 1], [0, 2 ** 40, 256]] as const) {
        expect(await store.tile(level, index, width)).toBeUndefined()
      }
    })

    test('the tiles of a signed checkpoint are there when the log has grown beyond it', async () => {
      const store = await keep((await place()).open())
      const model = new ModelLog()
      for (const [at, count] of [300, 100, 200].entries()) {
        await model.append(store, someEntries(count, `signed ${at}`))
        const signed = [...tilesOf(model.head.size)]
        await model.publish(store, `checkpoint ${at}\n`)
        await model.append(store, someEntries(1 + at, `behind ${at}`))
        for (const { level, index, width } of signed) expect(hex(await store.tile(level, index, width))).toBe(hex(model.tile(level, index, width)))
      }
    })
  })

  describe('the checkpoint', () => {
    test('takes the place of the one before', async () => {
      const here = await place()
      const store = await keep(here.open())
      await store.publish(undefined, 'first\n\n— ü sig\n')
      expect(await store.checkpoint()).toBe('first\n\n— ü sig\n')
      await store.publish('first\n\n— ü sig\n', 'second\n')
      expect(await store.checkpoint()).toBe('second\n')
    })

    test('is refused when another stands there than was thought', async () => {
      const store = await keep((await place()).open())
      await expect(store.publish('one that never was\n', 'first\n')).rejects.toBeInstanceOf(HeadMovedError)
      expect(await store.checkpoint()).toBeUndefined()
      await store.publish(undefined, 'first\n')
      for (const previous of [undefined, 'other\n', 'first']) {
        await expect(store.publish(previous, 'second\n')).rejects.toBeInstanceOf(HeadMovedError)
        expect(await store.checkpoint()).toBe('first\n')
      }
    })

    test('of two writers, the second is told', async () => {
      const here = await place()
      const [first, second] = [await keep(here.open()), await keep(here.openBeside())]
      await first.publish(undefined, 'common\n')
      await first.publish('common\n', 'mine\n')
      await expect(second.publish('common\n', 'theirs\n')).rejects.toBeInstanceOf(HeadMovedError)
      expect(await second.checkpoint()).toBe('mine\n')
    })
  })

  describe('pruning', () => {
    test('drops entries and keeps their hashes, in full tiles and in the last one', async () => {
      const here = await place()
      const model = new ModelLog()
      let store = await keep(here.open())
      await model.append(store, someEntries(600, 'pruned'))
      await model.prune(store, [0, 1, 255, 256, 300, 511, 512, 550, 599])
      await expectSame(store, model)
      await model.prune(store, [])
      await model.prune(store, [0, 599, 7])
      await expectSame(store, model)
      await model.append(store, someEntries(400, 'behind'))
      await expectSame(store, model)
      await close(store)
      store = await keep(here.open())
      await expectSame(store, model)
    })

    test('can drop all', async () => {
      const store = await keep((await place()).open())
      const model = new ModelLog()
      await model.append(store, someEntries(3000, 'all', () => 30))
      await model.prune(store, model.entries.map((_, index) => index))
      await expectSame(store, model)
      await model.append(store, someEntries(300, 'behind'))
      await expectSame(store, model)
    })
  })

  describe('opening again', () => {
    test('finds everything, and goes on from there', async () => {
      const here = await place()
      const model = new ModelLog()
      for (const [at, count] of [10, 290, 500].entries()) {
        const store = await keep(here.open())
        await expectSame(store, model)
        await model.append(store, someEntries(count, `opening ${at}`))
        await model.publish(store, `checkpoint ${at}\n`)
        await close(store)
      }
      await expectSame(await keep(here.open()), model)
    })

    test('whatever came before: groups of any size, checkpoints, pruning and openings', async () => {
      const groups = fc.record({ act: fc.constant('append' as const), count: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 600 })) })
      const prunes = fc.record({ act: fc.constant('prune' as const), places: fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), { maxLength: 40 }) })
      const others = fc.record({ act: fc.constantFrom('publish' as const, 'reopen' as const) })
      const acts = fc.array(fc.oneof({ weight: 3, arbitrary: groups }, prunes, others), { minLength: 1, maxLength: 12 })
      await fc.assert(
        fc.asyncProperty(acts, async (acts) => {
          const here = await newPlace()
          const model = new ModelLog()
          let store = await here.open()
          try {
            for (const [at, step] of acts.entries()) {
              if (step.act === 'append') await model.append(store, someEntries(step.count, `act ${at}`))
              else if (step.act === 'prune') await model.prune(store, model.head.size === 0 ? [] : step.places.map((place) => Math.floor(place * model.head.size)))
              else if (step.act === 'publish') await model.publish(store, `checkpoint ${at}\n`)
              else {
                await store.close()
                store = await here.open()
              }
            }
            await expectSame(store, model)
            await store.close()
            store = await here.open()
            await expectSame(store, model)
          } finally {
            await store.close()
            await here.remove()
          }
        }),
        { numRuns: 15, endOnFailure: true },
      )
    }, 120_000)
  })
}

/** Holds all that a store gives against the model. */
export async function expectSame(store: LogStore, model: ModelLog): Promise<void> {
  const { size, root } = await store.head()
  expect({ size, root: hex(root) }).toEqual({ size: model.head.size, root: hex(model.head.root) })
  expect(await allOf(store, 0, size)).toEqual(inHex(model.entries))
  for (const { level, index, width } of tilesOf(size)) {
    const tile = await store.tile(level, index, width)
    if (hex(tile) !== hex(model.tile(level, index, width))) expect.fail(`tile ${index} of level ${level}, ${width} wide, is ${tile === undefined ? 'not there' : 'another'}`)
  }
  const end = Math.ceil(size / fullWidth)
  expect(await store.tile(0, end, 1)).toBeUndefined()
  expect(await store.checkpoint()).toBe(model.checkpoint)
}

async function allOf(store: LogStore, from: number, to: number): Promise<(string | undefined)[]> {
  const entries: (Uint8Array | undefined)[] = []
  for await (const entry of store.entries(from, to)) entries.push(entry)
  return inHex(entries)
}

function inHex(entries: readonly (Uint8Array | undefined)[]): (string | undefined)[] {
  return entries.map((entry) => (entry === undefined ? undefined : hex(entry)))
}

function hex(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString('hex')
}

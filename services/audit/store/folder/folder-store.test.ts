import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { filesWith } from '../../../../test/support/files-with.ts'
import { logStoreConformance } from '../conformance.ts'
import { ModelLog } from '../test-support/model-log.ts'
import { openFolderStore, openUnlocked } from './folder-store.ts'

describe('a store in a folder', () => {
  logStoreConformance(async () => {
    const home = await mkdtemp(join(tmpdir(), 'audit-folder-'))
    const options = {
      folder: join(home, 'audit'),
      lockWaitMs: 0,
      timeoutMs: 20_000,
      onTrouble(error: unknown) {
        throw error
      },
    }
    return {
      open: () => openFolderStore(options),
      openBeside: () => openUnlocked(options),
      remove: () => rm(home, { recursive: true }),
    }
  })
})

test('what was pruned is in no byte of any file, whether its row or its file had it', async () => {
  const home = await mkdtemp(join(tmpdir(), 'audit-folder-'))
  const folder = join(home, 'audit')
  const onTrouble = (error: unknown): void => {
    throw error
  }
  const store = await openFolderStore({ folder, lockWaitMs: 0, timeoutMs: 20_000, onTrouble })
  try {
    const model = new ModelLog()
    const secret = (index: number): string => `<secret ${index}>`
    const append = async (count: number): Promise<void> => {
      const first = model.entries.length
      await model.append(store, Array.from({ length: count }, (_, at) => Buffer.from(secret(first + at).repeat(40))))
    }
    const found = (index: number): Promise<string[]> => filesWith(folder, [secret(index)])
    await append(300)
    // Everything that is full becomes a file, and the next append drops its rows.
    await model.publish(store, 'a checkpoint')
    await expect.poll(() => existsSync(join(folder, 'tile/entries/000')), { timeout: 20_000 }).toBe(true)
    await append(300)
    await append(10)
    const pruned = [3, 255, 299, 400, 605]
    for (const index of pruned) expect(await found(index), `${index}`).not.toEqual([])
    await model.prune(store, pruned)
    for (const index of pruned) expect(await found(index), `${index}`).toEqual([])
    for (const index of [2, 298, 401, 604]) expect(await found(index), `${index}`).not.toEqual([])
  } finally {
    await store.close()
    await rm(home, { recursive: true })
  }
})

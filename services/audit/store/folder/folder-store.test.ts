import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe } from 'vitest'
import { logStoreConformance } from '../conformance.ts'
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

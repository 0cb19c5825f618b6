import type { LogStore } from '../store/store.ts'
import { signCheckpoint } from '../tlog/checkpoint.ts'
import { makeNoteKey } from '../tlog/note-key.ts'
import { ed25519Signer } from '../tlog/note.ts'

export const testOrigin = 'intramuros.example/audit'

/** Signs and publishes what a store's head is, with a key of its own. */
export function createCheckpoints(store: LogStore): { vkey: string; publish(): Promise<void> } {
  const { skey, vkey } = makeNoteKey(testOrigin)
  const signer = ed25519Signer(skey)
  return {
    vkey,
    async publish() {
      await store.publish(await store.checkpoint(), signCheckpoint({ origin: testOrigin, ...(await store.head()) }, [signer]))
    },
  }
}

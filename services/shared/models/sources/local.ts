import { isUnpinned, type ModelEntry } from '../catalogue.ts'
import { SourceFailed } from '../failures.ts'
import { lookFor } from '../store.ts'

/** Where a file of the right size and digest already lies on this machine. */
export async function fromHere(entry: ModelEntry, home: string, signal: AbortSignal): Promise<string> {
  if (isUnpinned(entry)) throw new SourceFailed('the catalogue has no SHA-256 to check this model by')
  const found = await lookFor(entry, home, signal)
  if (found.path !== undefined) return found.path
  throw new SourceFailed(found.reasons.join('; '))
}

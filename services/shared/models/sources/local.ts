import type { ModelEntry } from '../catalogue.ts'
import { SourceFailed } from '../failures.ts'
import { objection, placesOf } from '../store.ts'

/** Where a file of the right size and digest already lies on this machine. */
export async function fromHere(entry: ModelEntry, home: string, signal: AbortSignal): Promise<string> {
  const reasons: string[] = []
  for (const path of placesOf(entry, home)) {
    const reason = await objection(entry, path, home, signal)
    if (reason === undefined) return path
    reasons.push(`${path} ${reason}`)
  }
  throw new SourceFailed(reasons.join('; '))
}

import { isUnpinned, type ModelEntry } from '../catalogue.ts'
import { SourceFailed } from '../failures.ts'
import { notThere, objection, placesOf, plainPlacesOf } from '../store.ts'

/** Where a file of the right size and digest already lies on this machine. */
export async function fromHere(entry: ModelEntry, home: string, signal: AbortSignal): Promise<string> {
  if (isUnpinned(entry)) throw new SourceFailed('the catalogue has no SHA-256 to check this model by')
  const reasons: string[] = []
  const named = plainPlacesOf(entry, home)
  for (const path of placesOf(entry, home)) {
    const reason = await objection(entry, path, home, signal)
    if (reason === undefined) return path
    // Nobody said that an encrypted file would be there.
    if (reason !== notThere || named.includes(path)) reasons.push(`${path} ${reason}`)
  }
  throw new SourceFailed(reasons.join('; '))
}

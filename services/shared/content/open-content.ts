import { ContentPart, type SealedPiece } from '../../../proto/gen/intramuros/v1/content.ts'
import { ContentError } from './content-error.ts'
import { fingerprintOf, openDataKey, openPiece } from './seal.ts'
import type { TeamKey } from './team-key.ts'

export interface OpenedPart {
  bytes: Buffer
  /** False: its last piece is missing. The gateway died before the end, or pieces were removed. */
  whole: boolean
  pieces: number
  /** HMAC of the bytes, hexadecimal: that of the ledger's record of it, if nothing was changed. */
  fingerprint: string
}

export interface OpenedContent {
  teamId: string
  keyId: string
  day: string
  prompt: OpenedPart
  answer: OpenedPart
}

export interface OpenOptions {
  /** Name of the team whose request it is said to be. */
  team: string
  requestId: string
  /** Throws ContentError. */
  keyOf: (keyId: string) => Promise<TeamKey>
}

/** The content of a request from all of its pieces in their order. Throws ContentError that names the first piece that is not what was sealed. */
export async function openContent(pieces: readonly SealedPiece[], { team, requestId, keyOf }: OpenOptions): Promise<OpenedContent> {
  const [first] = pieces
  if (first === undefined) throw new ContentError('There are no pieces.')
  const { teamId, keyId, day, wrappedKey } = first
  if (!teamId.startsWith(`${team}@`)) throw new ContentError('The content is of another team.')
  const teamKey = await keyOf(keyId)
  const dataKey = openDataKey(teamKey, { teamId, day, wrappedKey })
  const opened: Record<'prompt' | 'answer', { bytes: Buffer[]; whole: boolean }> = { prompt: { bytes: [], whole: false }, answer: { bytes: [], whole: false } }
  for (const piece of pieces) {
    const name = piece.part === ContentPart.PROMPT ? 'prompt' : 'answer'
    const part = opened[name]
    const damaged = (how: string): ContentError => new ContentError(`Piece ${part.bytes.length} of the ${name} ${how}.`)
    if (piece.requestId !== requestId || piece.teamId !== teamId) throw damaged('is of another request')
    if (Buffer.compare(piece.wrappedKey, wrappedKey) !== 0) throw damaged('has another data key than the first one')
    if (piece.sequence !== part.bytes.length || part.whole) throw damaged('is not in its place: pieces were removed, repeated or put in another order')
    const bytes = openPiece(dataKey, piece)
    if (bytes === undefined) throw damaged('was changed')
    part.bytes.push(bytes)
    part.whole = piece.final
  }
  const partOf = (name: 'prompt' | 'answer'): OpenedPart => {
    const bytes = Buffer.concat(opened[name].bytes)
    const part = name === 'prompt' ? ContentPart.PROMPT : ContentPart.ANSWER
    return { bytes, whole: opened[name].whole, pieces: opened[name].bytes.length, fingerprint: fingerprintOf(teamKey, { teamId, requestId, part }).update(bytes).digest('hex') }
  }
  return { teamId, keyId, day, prompt: partOf('prompt'), answer: partOf('answer') }
}

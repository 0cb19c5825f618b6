import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { ContentPart, type SealedPiece } from '../../../proto/gen/intramuros/v1/content.ts'
import type { KeepContentRequest } from '../../../proto/gen/intramuros/v1/audit.ts'
import type { ReadContentRequest } from '../../../proto/gen/intramuros/v1/audit_read.ts'
import { contentKeyId } from '../../shared/content/team-key.ts'
import { pieceBytes, sealBytes } from '../../shared/content/seal.ts'
import { fieldsOf } from '../records/record.ts'
import { invalid } from '../validate.ts'

/** The edge of kept content. Paths are made of these, so that each has a form of its own: none can leave its folder. */
const requestId = Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' })
const length = (minimum: number, maximum = minimum) => Type.Integer({ minimum, maximum })

const pieceFields = Compile(
  Type.Object({
    teamId: Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}@[a-z0-9]{1,16}$' }),
    requestId,
    part: Type.Enum([ContentPart.PROMPT, ContentPart.ANSWER]),
    sequence: Type.Integer({ minimum: 0, maximum: 65_535 }),
    final: Type.Boolean(),
    keyId: Type.String({ pattern: contentKeyId.source }),
    day: Type.String({ pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' }),
    wrappedKey: length(32 + sealBytes),
    sealed: length(sealBytes, sealBytes + pieceBytes),
  }),
)
const { bytes } = fieldsOf('content.kept')
const keptFields = Compile(Type.Object({ bytes, fingerprint: length(32) }))
const Question = Type.Object({ team: fieldsOf('content.read').team, requestId })
const question = Compile(Question)

export interface Kept {
  bytes: number
  /** Lower-case hexadecimal. */
  fingerprint: string
}

/** `kept` is there with the last piece of a part. Throws INVALID_ARGUMENT invalid_record. */
export function validPiece({ piece, bytes: count, fingerprint }: KeepContentRequest): { piece: SealedPiece; kept: Kept | undefined } {
  if (piece === undefined) throw invalid([])
  const fields = { ...piece, wrappedKey: piece.wrappedKey.length, sealed: piece.sealed.length }
  if (!pieceFields.Check(fields)) throw invalid(pieceFields.Errors(fields))
  if (!piece.final) return { piece, kept: undefined }
  const kept = { bytes: Number(count), fingerprint: fingerprint.length }
  if (!keptFields.Check(kept)) throw invalid(keptFields.Errors(kept))
  return { piece, kept: { bytes: kept.bytes, fingerprint: Buffer.from(fingerprint).toString('hex') } }
}

/** Undefined for what can't be a request: nothing is kept of it. */
export function validContentQuestion({ team, requestId: id }: ReadContentRequest): Static<typeof Question> | undefined {
  const fields = { team, requestId: id }
  return question.Check(fields) ? fields : undefined
}

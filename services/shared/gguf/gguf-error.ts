export type GgufReason = 'file_missing' | 'file_unreadable' | 'not_gguf' | 'unsupported_gguf_version' | 'file_damaged' | 'part_missing'

/** Why a GGUF file can't be read; for the operator. */
export class GgufError extends Error {
  override readonly name = 'GgufError'
  readonly reason: GgufReason

  constructor(reason: GgufReason, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.reason = reason
  }
}

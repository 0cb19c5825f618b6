export type ModelLoadReason = 'unreadable_model' | 'bad_metadata' | 'bad_chat_template'

/** Why a model can't be served; for the operator. */
export class ModelLoadError extends Error {
  override readonly name = 'ModelLoadError'
  readonly reason: ModelLoadReason

  constructor(reason: ModelLoadReason, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.reason = reason
  }
}

export type EngineLoadReason =
  | 'file_missing'
  | 'file_unreadable'
  | 'not_gguf'
  | 'unsupported_gguf_version'
  | 'file_damaged'
  | 'part_missing'
  | 'unsupported_architecture'
  | 'unsupported_vocabulary'
  | 'unsupported_pooling'
  | 'out_of_memory'
  | 'too_many_slots'
  | 'gpu_unavailable'
  | 'server_mismatch'
  | 'server_unsafe'
  | 'load_failed'

/** Why the engine can't serve the model; for the operator. Trying again changes nothing before somebody changes something. */
export class EngineLoadError extends Error {
  override readonly name = 'EngineLoadError'
  readonly reason: EngineLoadReason

  constructor(reason: EngineLoadReason, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.reason = reason
  }
}

/** A place that checkpoints are copied to, from which they can't be taken back. */
export interface Anchor {
  /** As the operator called it; in logs and metrics. */
  readonly name: string
  readonly kind: 'folder' | 's3' | 'syslog'
  /**
   * Resolves once the place has the checkpoint, from before or from now on. Throws AnchorConflictError when it holds another one of that
   * size, and AnchorError when it could not be put there now. Aborting ends it in little time.
   */
  put(checkpoint: AnchoredCheckpoint, signal: AbortSignal): Promise<void>
  close(): void
}

export interface AnchoredCheckpoint {
  size: number
  /** A signed note. */
  note: string
}

/** It did not work, and may later. The message is for the operator. */
export class AnchorError extends Error {
  override readonly name: string = 'AnchorError'
}

/** The place has a checkpoint that the log does not go on from, or a damaged one: nothing that trying again would mend. */
export class AnchorConflictError extends AnchorError {
  override readonly name = 'AnchorConflictError'
}

/** Why an encrypted model can't be made or used. For the person who runs the platform: printed as it is, and holds nothing of a key. */
export class EncryptedModelError extends Error {
  override readonly name = 'EncryptedModelError'
}

/** The command that gives the key failed: the one failure that may mend itself, when what it asks is up again. */
export class KeyCommandError extends EncryptedModelError {
  readonly reason = 'key_command_failed'
}

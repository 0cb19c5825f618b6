export type AgeReason = 'not_age' | 'bad_header' | 'no_matching_key' | 'damaged' | 'bad_recipient' | 'bad_identity'

/** Why something can't be encrypted or decrypted. The message is for people, begins in lower case, and holds nothing of a key. */
export class AgeError extends Error {
  override readonly name = 'AgeError'
  readonly reason: AgeReason

  constructor(reason: AgeReason, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.reason = reason
  }
}

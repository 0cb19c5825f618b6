/** A file whose weights are damaged, or a device that is, computes on with what is no number: every answer would be one token repeated. */
export class NoNumbersError extends Error {
  override readonly name = 'NoNumbersError'

  constructor() {
    super('what the model computes are no numbers: its file or the device is damaged')
  }
}

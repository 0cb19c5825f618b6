/** Why the platform could not start, in words for the person who started it. */
export class StartError extends Error {
  override readonly name = 'StartError'
  /** What the command ends with: that of the service that could not start, where it was one. */
  readonly status: number

  constructor(message: string, { status = 1, ...options }: ErrorOptions & { status?: number | undefined } = {}) {
    super(message, options)
    this.status = status
  }
}

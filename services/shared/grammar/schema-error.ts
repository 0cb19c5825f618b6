/** A JSON Schema that can't be honoured, and the JSON pointer (RFC 6901) to what in it is the reason. */
export class SchemaError extends Error {
  override readonly name = 'SchemaError'
  readonly pointer: string

  constructor(pointer: string, message: string) {
    super(`${pointer === '' ? 'The schema' : pointer}: ${message}`)
    this.pointer = pointer
  }
}

/** The pointer to a member or an element. */
export function below(pointer: string, ...names: readonly (string | number)[]): string {
  return [pointer, ...names.map((name) => String(name).replaceAll('~', '~0').replaceAll('/', '~1'))].join('/')
}

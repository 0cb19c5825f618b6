import { SchemaError } from './schema-error.ts'

/**
 * What the schemas of one request may cost, in steps of some microseconds: making rules of a schema is not interrupted, and small
 * schemas can be written that take for ever. Those that people write take hundreds to a few thousand.
 */
export interface SchemaWork {
  /** Throws SchemaError when it is used up. */
  spend(steps: number, pointer: string): void
}

const maxSteps = 60_000

export function createSchemaWork(): SchemaWork {
  let spent = 0
  return {
    spend(steps, pointer) {
      spent += steps
      if (spent > maxSteps) throw new SchemaError(pointer, 'The schema is too complex: too many alternatives and combinations of schemas.')
    },
  }
}

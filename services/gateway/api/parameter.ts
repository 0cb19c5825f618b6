import Type, { type TSchema } from 'typebox'

/**
 * The schemas of request bodies say of each parameter what becomes of it; validation, the OpenAPI document and docs/api.md are made from
 * them. A parameter without a mark is supported.
 */
export type Support = 'supported' | 'refused' | 'ignored'

/** Keys of a schema by which those three know. */
export interface Marks {
  'x-support'?: Support
  /** Of a refused parameter: the values that ask for nothing, which many clients send by default. */
  'x-neutral'?: readonly unknown[]
}

/** A parameter that would change the result and can't be honoured: any value but the neutral ones is a 400 unsupported_parameter. */
export function refused(neutral: readonly unknown[], description: string) {
  return Type.Optional(Type.Unsafe<unknown>({ 'x-support': 'refused', 'x-neutral': neutral, description }))
}

/** A parameter that doesn't change the result: taken, and of no effect. */
export function ignored<Schema extends TSchema>(schema: Schema, description: string) {
  return Type.Optional(Type.Union([schema, Type.Null()], { 'x-support': 'ignored', description }))
}

/** Absent and null mean the same, as in OpenAI's API. */
export function nullable<Schema extends TSchema>(schema: Schema, description: string) {
  return Type.Optional(Type.Union([schema, Type.Null()], { description }))
}

export function marksOf(schema: Marks): Marks {
  return schema
}

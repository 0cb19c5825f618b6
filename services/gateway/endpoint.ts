import type { Answer, Generation } from './generation.ts'
import type { Exchange } from './http/exchange.ts'
import type { Operation } from './recorded.ts'

/** An API that generates text: how its requests are read and its answers written. */
export interface Endpoint extends Operation {
  /** Reads a request body. Throws INVALID_ARGUMENT with the offending `param`. */
  parse(json: unknown): ParsedRequest
}

export interface ParsedRequest {
  generation: Generation
  /** Places of names in the body that are not known. */
  unknown: string[]
  /** Where the answer goes. Called before anything was sent. */
  answer(exchange: Exchange): Answer
}

import type { ServiceDefinition } from '@grpc/grpc-js'
import type { StreamHandler, UnaryHandler } from './handler.ts'

/** The part of ts-proto's generated method definitions that both carriages need. */
export interface UnaryDefinition<Request, Response> {
  path: string
  requestStream: false
  responseStream: false
  requestSerialize(value: Request): Buffer
  requestDeserialize(bytes: Buffer): Request
  responseSerialize(value: Response): Buffer
  responseDeserialize(bytes: Buffer): Response
}

export interface StreamDefinition<Request, Response> extends Omit<UnaryDefinition<Request, Response>, 'responseStream'> {
  responseStream: true
}

/** A generated service that has a lane. */
export type Service = ServiceDefinition & { lane: ServiceDefinition[string] }

/** The handlers of a generated service: one a method, but for the lane, which carries the others. */
export type HandlersOf<Service> = {
  [Name in Exclude<keyof Service, 'lane'>]: Service[Name] extends StreamDefinition<infer Request, infer Response>
    ? StreamHandler<Request, Response>
    : Service[Name] extends UnaryDefinition<infer Request, infer Response>
      ? UnaryHandler<Request, Response>
      : never
}

/** "Tokenizer/Prepare" of "/intramuros.v1.Tokenizer/Prepare", as metrics and spans name it. */
export function methodLabel(path: string): string {
  return path.slice(path.lastIndexOf('.') + 1)
}

/** "Prepare" of "/intramuros.v1.Tokenizer/Prepare". */
export function methodName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/**
 * What a service's method looks like, whichever way it is carried: as an ordinary gRPC method or over a lane
 * (see lane-server.ts). Handlers know nothing of gRPC, deadlines, metrics or spans; those are wrapped around them once, in serve.ts.
 */
export interface CallContext {
  /** Joins the logs of the services. Chosen by the gateway. */
  requestId: string
  /** Service name of the caller, from the SAN of its verified certificate. */
  peer: string
  /** Aborts when the caller cancels, goes away, or its deadline passes. */
  signal: AbortSignal
}

export type UnaryHandler<Request, Response> = (request: Request, call: CallContext) => Promise<Response>
/** An async generator: its `finally` blocks run when the caller cancels. */
export type StreamHandler<Request, Response> = (request: Request, call: CallContext) => AsyncIterable<Response>

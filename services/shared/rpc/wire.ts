import { Metadata } from '@grpc/grpc-js'
import { codeName, codes, type ErrorDetail, ServiceError } from '../errors.ts'

/** For servers and channels. A peer that neither answers nor closes is noticed within keepalive time + time-out. */
export const channelLimits = {
  'grpc.max_receive_message_length': 64 * 1024 * 1024,
  'grpc.max_send_message_length': 64 * 1024 * 1024,
  'grpc.keepalive_time_ms': 4000,
  'grpc.keepalive_timeout_ms': 3000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.enable_retries': 0,
  'grpc.enable_channelz': 0,
}

/** The parts of a ServiceError that an ordinary gRPC status has no place for. */
export function errorMetadata(error: ServiceError): Metadata {
  const metadata = new Metadata()
  metadata.set('intramuros-reason', error.reason)
  if (error.param !== undefined) metadata.set('intramuros-param', encodeURIComponent(error.param))
  if (error.retryAfterMs !== undefined) metadata.set('intramuros-retry-after-ms', String(Math.ceil(error.retryAfterMs)))
  return metadata
}

/** A LaneError as it was thrown on the other side. */
export function errorFromWire(wire: { code: number; reason: string; message: string; param: string; retryAfterMs: number }): ServiceError {
  const detail: ErrorDetail = {}
  if (wire.param !== '') detail.param = wire.param
  if (wire.retryAfterMs !== 0) detail.retryAfterMs = wire.retryAfterMs
  const code = wire.code === codes.UNKNOWN ? 'INTERNAL' : codeName(wire.code)
  return new ServiceError(code, wire.reason === '' ? 'unknown' : wire.reason, wire.message, detail)
}

/**
 * A caller of a streamed method that takes nothing for so long, milliseconds, while there is something for it, is given up: others want
 * what its call holds. Gateways cut slow clients off long before.
 */
export const stalledReaderMs = 120_000

export function readerStalled(): ServiceError {
  return new ServiceError('CANCELLED', 'reader_stalled', 'The caller stopped reading.')
}

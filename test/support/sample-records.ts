import { encodeRecord } from '../../services/audit/records/record.ts'

/** Records of requests as the ledger writes them, begin and end in turn: always the same. */
export function* sampleRecords(count: number): Generator<Uint8Array, void, undefined> {
  for (let index = 0; index < count; index++) {
    const request = Math.floor(index / 2)
    const at = new Date(Date.UTC(2026, 0, 1) + index * 7).toISOString()
    const team = ['cardiology', 'radiology', 'billing'][request % 3] ?? ''
    const requestId = `req-${String(request).padStart(8, '0')}`
    yield index % 2 === 0
      ? encodeRecord({
          v: 1, at, clock: 'ok', type: 'request.begin', requestId, team, instance: 'gateway-1', gatewayVersion: '0.1.0', keyId: `key-${request % 17}`, subject: '', auth: 'api_key', model: 'smollm2-135m',
          modelDigest: '5ab1'.repeat(16), adapter: '', endpoint: 'POST /v1/chat/completions', stream: request % 2 === 0, priority: 'interactive', requestBytes: 300 + (request % 4096), parameters: { maxTokens: 512 },
        })
      : encodeRecord({
          v: 1, at, clock: 'ok', type: 'request.end', requestId, team, outcome: 'completed', finishReason: 'stop', error: '', inputTokens: 80 + (request % 900), cachedTokens: 64, outputTokens: request % 512,
          responseBytes: 2048, firstTokenUs: 41_000, durationUs: 900_000 + request, workerUs: 850_000, worker: '10.0.0.7:9443', workerVersion: '0.1.0', redactions: [],
        })
  }
}

import type { EntryOf } from '../records/record.ts'

/** Records for tests, whole but for what a test is about. */
export function beginOf(requestId: string, more: Partial<EntryOf<'request.begin'>> = {}): EntryOf<'request.begin'> {
  return {
    type: 'request.begin', requestId, instance: 'gateway', gatewayVersion: '0.1.0', team: 'default', keyId: 'key_1', subject: '', auth: 'api_key', model: 'small', modelDigest: '', adapter: '',
    endpoint: 'POST /v1/chat/completions', stream: true, priority: 'interactive', requestBytes: 100, parameters: {}, ...more,
  }
}

export function endOf(requestId: string, more: Partial<EntryOf<'request.end'>> = {}): EntryOf<'request.end'> {
  return {
    type: 'request.end', requestId, team: 'default', outcome: 'completed', finishReason: 'stop', error: '', inputTokens: 10, cachedTokens: 4, outputTokens: 20, responseBytes: 80, firstTokenUs: 1000,
    durationUs: 5000, workerUs: 4000, worker: '127.0.0.1:20001', workerVersion: '0.1.0', redactions: [], ...more,
  }
}

export function refusedOf(more: Partial<EntryOf<'request.refused'>> = {}): EntryOf<'request.refused'> {
  return { type: 'request.refused', team: '', keyId: '', source: '', endpoint: 'POST /v1/chat/completions', reason: 'invalid_api_key', instance: 'gateway', count: 1, ...more }
}

/** 2026-11-01T00:00:00.000Z and some milliseconds. */
export function timeOf(ms: number): string {
  return new Date(Date.UTC(2026, 10, 1) + ms).toISOString()
}

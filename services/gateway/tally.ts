import { type EndRequest, Outcome } from '../../proto/gen/intramuros/v1/audit.ts'

/** What is known of a request at its end. */
export interface Tally {
  outcome: Outcome
  finishReason: '' | 'stop' | 'length' | 'tool_calls'
  /** Reason of the failure; empty if there was none. */
  error: string
  inputTokens: number
  /** Of the input, what workers held evaluated already. */
  cachedTokens: number
  outputTokens: number
  /** Of the output, those that brought reasoning. */
  reasoningTokens: number
  /** Bytes of the answer's text. */
  answerBytes: number
  worker: string
  workerVersion: string
  /** What workers spent on it, the wait for a slot not counted, in microseconds. */
  workerUs: bigint
  /** On performance.now()'s clock; 0 before the first token. */
  firstTokenAt: number
}

export function newTally(): Tally {
  return { outcome: Outcome.FAILED, finishReason: '', error: '', inputTokens: 0, cachedTokens: 0, outputTokens: 0, reasoningTokens: 0, answerBytes: 0, worker: '', workerVersion: '', workerUs: 0n, firstTokenAt: 0 }
}

/** The audit record of a request's end. `started` is on performance.now()'s clock. */
export function endRecord(tally: Tally, started: number): Omit<EndRequest, 'requestId'> {
  return {
    outcome: tally.outcome,
    finishReason: tally.finishReason,
    error: recordable(tally.error),
    inputTokens: tally.inputTokens,
    outputTokens: tally.outputTokens,
    responseBytes: tally.answerBytes,
    firstTokenUs: tally.firstTokenAt === 0 ? 0n : microseconds(tally.firstTokenAt - started),
    durationUs: microseconds(performance.now() - started),
    worker: tally.worker,
    cachedTokens: tally.cachedTokens,
    workerUs: tally.workerUs,
    workerVersion: tally.workerVersion,
    redactions: [],
  }
}

/** Keeps who works on it. */
export function servedBy(tally: Tally): (address: string, version: string) => void {
  return (address, version) => {
    tally.worker = address
    tally.workerVersion = version
  }
}

/** Errors of a peer of another version may have reasons of a form that no record takes. */
function recordable(reason: string): string {
  return /^[a-z0-9_]{0,64}$/.test(reason) ? reason : 'other'
}

function microseconds(ms: number): bigint {
  return BigInt(Math.round(ms * 1000))
}

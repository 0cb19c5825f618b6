import { ServiceError } from '../shared/errors.ts'
import { describeError, type Logger } from '../shared/log.ts'
import { createOnce } from './once.ts'
import { decodeRecord, type Entry, type EntryOf } from './records/record.ts'
import type { FoundRequest, OpenRequest, Requests } from './requests.ts'
import type { BeginFields, EndFields } from './validate.ts'
import type { EventEntry } from './validate-event.ts'

export interface LedgerOptions {
  /** Resolves with the place of the first entry once all of them are durable; they stay together. Throws UNAVAILABLE audit_unavailable. */
  log: { append(entries: readonly Entry[]): Promise<number> }
  /** With the records of the log replayed. */
  requests: Requests
  /** Where the records of a request are that `requests` does not remember; undefined when there are none. Throws UNAVAILABLE. */
  findForgotten: (requestId: string) => Promise<FoundRequest | undefined>
  /** How long a gateway that went away may take to come back before its open requests are closed, in milliseconds. */
  orphanMs: number
  /** Calls `run` once after a while, unless the function it returns is called before. */
  schedule: (run: () => void, ms: number) => () => void
  logger: Logger
  /** Told the number of open requests when it changes. */
  onOpen: (count: number) => void
}

/** Which requests are open, and whose they are. Every promise resolves only once what it tells of is durable. */
export interface Ledger {
  /**
   * Resolves with the record's place; with `again`, of a request that is open in the name of the same instance already, with that one's.
   * Throws ALREADY_EXISTS record_exists; UNAVAILABLE audit_unavailable.
   */
  begin(fields: BeginFields, again?: boolean): Promise<number>
  /** As begin; repeated, it gives the same place again. Throws NOT_FOUND no_such_record, UNAVAILABLE audit_unavailable. */
  end(fields: EndFields): Promise<number>
  /**
   * Records something else. Repeated with the same id, it is recorded once as long as this process remembers; a change of the directory
   * once for ever, and undefined stands for one that was recorded before. Throws UNAVAILABLE audit_unavailable.
   */
  record(id: string, entry: EventEntry | EntryOf<'configuration.changed'>): Promise<number | undefined>
  /**
   * What the log has committed, in its order: an append that was given up may be found in it after all. Before that append's promise, or any
   * later one's, resolves.
   */
  committed(first: number, entries: readonly Uint8Array[]): void
  /** Id of the last change of the directory that is recorded; 0: none is. */
  readonly directoryChange: number
  /** Where the records of a request are, as far as this process remembers it. */
  find(requestId: string): FoundRequest | undefined
  /**
   * A gateway is here, and works on the requests in `open`; what else is open in its name is closed as interrupted first.
   * Takes the place of an attachment of the same instance.
   */
  attach(instance: string, open: readonly string[]): Promise<Attachment>
  /** Ends the attachments, with UNAVAILABLE draining, and closes nothing more by itself. Records can still begin and end. */
  drain(): void
}

export interface Attachment {
  /** Aborts, with a ServiceError, when the attachment is over on this side. */
  readonly over: AbortSignal
  /** The gateway is gone: its open requests are closed as interrupted unless it attaches again in time. */
  detach(): void
}

interface Instance {
  attachment: AbortController | undefined
  /** Ends the wait for an instance that is away. */
  stopWaiting: (() => void) | undefined
  /** It has attached to this process, and has not said since that it stops: when it goes away for good, that is worth a record. */
  expected: boolean
}

export function createLedger({ log, requests, findForgotten, orphanMs, schedule, logger, onOpen }: LedgerOptions): Ledger {
  const { open } = requests
  const instances = new Map<string, Instance>()
  const once = createOnce()
  let changes: Promise<unknown> = Promise.resolve()
  /** An append was given up since the last commit: what is committed next may be it. */
  let doubtful = false
  let draining = false

  /** The instance, which must attach in time when it is not attached. */
  function expect(name: string): Instance {
    let instance = instances.get(name)
    if (instance === undefined) {
      instance = { attachment: undefined, stopWaiting: undefined, expected: false }
      instances.set(name, instance)
    }
    if (instance.attachment === undefined && instance.stopWaiting === undefined && !draining) {
      instance.stopWaiting = schedule(() => void closeOrphans(name), orphanMs)
    }
    return instance
  }

  async function closeOrphans(name: string): Promise<void> {
    const instance = instances.get(name)
    if (instance === undefined || draining) return
    instance.stopWaiting = undefined
    try {
      await interrupt(name, new Set())
      if (instance.expected && instance.attachment === undefined) {
        await append([{ type: 'service.changed', service: 'gateway', instance: name, event: 'left', version: '', model: '', modelDigest: '' }])
        instance.expected = false
      }
    } catch (thrown) {
      logger.warn({ instance: name, err: describeError(thrown) }, 'requests of a gateway that is gone could not be closed yet')
      if (instance.attachment === undefined) expect(name)
      return
    }
    // A begin may have come meanwhile, and another wait with it.
    if (instance.attachment === undefined && instance.stopWaiting === undefined) instances.delete(name)
  }

  async function append(entries: readonly Entry[]): Promise<number> {
    try {
      return await log.append(entries)
    } catch (thrown) {
      doubtful = true
      throw thrown
    }
  }

  function committed(first: number, entries: readonly Uint8Array[]): void {
    if (!doubtful) return
    doubtful = false
    for (const [at, bytes] of entries.entries()) {
      const record = decodeRecord(bytes)
      if (record === undefined) continue
      // One that this ledger still waits for is told by its append.
      if (record.type === 'request.begin' && !open.has(record.requestId) && requests.find(record.requestId) === undefined) {
        requests.replay(first + at, record)
        expect(record.instance)
      } else if (record.type === 'request.end' && open.get(record.requestId)?.ending === undefined) requests.replay(first + at, record)
      else if (record.type === 'directory.changed') requests.replay(first + at, record)
    }
    onOpen(open.size)
  }

  async function begin(fields: BeginFields, again = false): Promise<number> {
    const { requestId, instance, team } = fields
    if (again) {
      const before = open.get(requestId)
      const index = before?.instance === instance ? (before.beginning ?? before.begin) : undefined
      if (index !== undefined) return index
      // Recorded a second time it would be two requests.
      if (doubtful) throw unknownYet()
    }
    if (open.has(requestId) || requests.find(requestId) !== undefined) {
      throw new ServiceError('ALREADY_EXISTS', 'record_exists', 'This request has a record already.')
    }
    const request: OpenRequest = { instance, team, begin: undefined }
    const beginning = append([{ type: 'request.begin', ...fields }]).then((index) => (request.begin = index))
    request.beginning = beginning
    open.set(requestId, request)
    onOpen(open.size)
    expect(instance)
    try {
      return await beginning
    } catch (thrown) {
      open.delete(requestId)
      onOpen(open.size)
      throw thrown
    } finally {
      delete request.beginning
    }
  }

  function end(fields: EndFields): Promise<number> {
    const request = open.get(fields.requestId)
    if (request !== undefined) return (request.ending ??= endOpen(fields, request))
    const index = requests.find(fields.requestId)?.end
    return index === undefined ? endedBefore(fields.requestId) : Promise.resolve(index)
  }

  /** Its end may have been recorded by a process before this one, whose answer was lost with it. */
  async function endedBefore(requestId: string): Promise<number> {
    const index = doubtful ? undefined : (await findForgotten(requestId))?.end
    if (index === undefined) throw notBegun()
    return index
  }

  /** Whether a begin that was given up is in the log, the next commit tells: before that nobody may take it for none. */
  function notBegun(): ServiceError {
    if (doubtful) return unknownYet()
    return new ServiceError('NOT_FOUND', 'no_such_record', 'This request has no record that could be ended.')
  }

  async function endOpen(fields: EndFields, request: OpenRequest): Promise<number> {
    try {
      await request.beginning?.catch(() => {
        throw notBegun()
      })
      const index = await append([{ type: 'request.end', team: request.team, ...fields }])
      requests.ended(fields.requestId, index)
      onOpen(open.size)
      return index
    } finally {
      delete request.ending
    }
  }

  /** Closes the open requests of an instance, but those in `kept` and those that begin meanwhile. Waits for records under way. */
  async function interrupt(instance: string, kept: ReadonlySet<string>): Promise<void> {
    const left = new Map([...open].filter(([id, request]) => request.instance === instance && !kept.has(id)))
    for (;;) {
      for (const [id, request] of left) if (open.get(id) !== request) left.delete(id)
      if (left.size === 0) return
      const pending = [...left.values()].flatMap(({ beginning, ending }) => ending ?? beginning ?? [])
      if (pending.length === 0) break
      await Promise.allSettled(pending)
    }
    const ids = [...left.keys()]
    const appended = append([...left].map(([requestId, { team }]) => ({ type: 'request.end', requestId, team, ...unseen })))
    let place = 0
    // An end that comes from now on gets the interrupted one's receipt.
    for (const request of left.values()) {
      const own = place
      request.ending = appended.then((first) => first + own)
      request.ending.catch(() => undefined) // whoever awaits it handles it; nobody may
      place += 1
    }
    try {
      const first = await appended
      ids.forEach((id, index) => requests.ended(id, first + index))
      onOpen(open.size)
    } finally {
      for (const request of left.values()) delete request.ending
    }
    logger.info({ instance, requests: ids.length }, 'closed the records of interrupted requests')
  }

  function record(id: string, entry: EventEntry | EntryOf<'configuration.changed'>): Promise<number | undefined> {
    return entry.type === 'directory.changed' ? recordChange(entry) : once(id, () => recordEvent(entry))
  }

  async function recordEvent(entry: Entry): Promise<number> {
    const index = await append([entry])
    if (entry.type === 'service.changed' && entry.service === 'gateway' && entry.event === 'stopping') {
      const instance = instances.get(entry.instance)
      if (instance !== undefined) instance.expected = false
    }
    return index
  }

  /** One after the other, so that the log has them in their order whoever tells of them. */
  function recordChange(entry: Extract<EventEntry, { type: 'directory.changed' }>): Promise<number | undefined> {
    const recorded = changes
      .catch(() => undefined)
      .then(async () => {
        if (entry.id <= requests.directoryChange) return undefined
        const index = await append([entry])
        requests.directoryChange = entry.id
        return index
      })
    changes = recorded
    return recorded
  }

  async function attach(name: string, stillOpen: readonly string[]): Promise<Attachment> {
    if (draining) throw leaving()
    const instance = expect(name)
    instance.stopWaiting?.()
    instance.stopWaiting = undefined
    if (instance.attachment !== undefined) {
      logger.warn({ instance: name }, 'a gateway attached in the place of one of the same name')
      instance.attachment.abort(new ServiceError('UNAVAILABLE', 'attach_replaced', 'A gateway of the same name has attached.'))
    }
    const attachment = new AbortController()
    instance.attachment = attachment
    instance.expected = true
    const detach = (): void => {
      if (instance.attachment !== attachment) return
      instance.attachment = undefined
      expect(name)
    }
    try {
      await interrupt(name, new Set(stillOpen))
      attachment.signal.throwIfAborted()
    } catch (thrown) {
      detach()
      throw thrown
    }
    return { over: attachment.signal, detach }
  }

  function drain(): void {
    draining = true
    for (const { attachment, stopWaiting } of instances.values()) {
      stopWaiting?.()
      attachment?.abort(leaving())
    }
  }

  for (const { instance } of open.values()) expect(instance)
  onOpen(open.size)
  return {
    begin,
    end,
    record,
    get directoryChange() {
      return requests.directoryChange
    },
    find: requests.find,
    committed,
    attach,
    drain,
  }
}

/** How a request ended whose end nobody saw. */
const unseen = {
  outcome: 'interrupted', finishReason: '', error: '', inputTokens: 0, cachedTokens: 0, outputTokens: 0, responseBytes: 0, firstTokenUs: 0, durationUs: 0, workerUs: 0, worker: '', workerVersion: '', redactions: [],
} satisfies Omit<EndFields, 'requestId'>

function unknownYet(): ServiceError {
  return new ServiceError('UNAVAILABLE', 'audit_unavailable', 'It is not known yet whether this request has a record.', { retryAfterMs: 1000 })
}

function leaving(): ServiceError {
  return new ServiceError('UNAVAILABLE', 'draining', 'The audit service is stopping.', { retryAfterMs: 1000 })
}

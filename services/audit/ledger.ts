import { ServiceError } from '../shared/errors.ts'
import { describeError, type Logger } from '../shared/log.ts'
import type { AuditLog } from './log/log.ts'
import type { BeginFields, EndFields } from './log/record.ts'
import type { OpenRequest, Requests } from './requests.ts'

export interface LedgerOptions {
  log: AuditLog
  /** With the records of the log replayed. */
  requests: Requests
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
  /** Resolves with the record's place. Throws ALREADY_EXISTS record_exists; UNAVAILABLE audit_unavailable. */
  begin(fields: BeginFields): Promise<number>
  /** As begin; repeated, it gives the same place again (requests.ts tells for how long). Throws NOT_FOUND no_such_record. */
  end(fields: EndFields): Promise<number>
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
}

export function createLedger({ log, requests, orphanMs, schedule, logger, onOpen }: LedgerOptions): Ledger {
  const { open } = requests
  const instances = new Map<string, Instance>()
  let draining = false

  /** The instance, which must attach in time when it is not attached. */
  function expect(name: string): Instance {
    let instance = instances.get(name)
    if (instance === undefined) {
      instance = { attachment: undefined, stopWaiting: undefined }
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
    } catch (thrown) {
      logger.warn({ instance: name, err: describeError(thrown) }, 'requests of a gateway that is gone could not be closed yet')
      if (instance.attachment === undefined) expect(name)
      return
    }
    // A begin may have come meanwhile, and another wait with it.
    if (instance.attachment === undefined && instance.stopWaiting === undefined) instances.delete(name)
  }

  async function begin(fields: BeginFields): Promise<number> {
    const { requestId, instance } = fields
    if (open.has(requestId) || requests.endOf(requestId) !== undefined) {
      throw new ServiceError('ALREADY_EXISTS', 'record_exists', 'This request has a record already.')
    }
    const beginning = log.append([{ type: 'begin', ...fields }])
    const request: OpenRequest = { instance, beginning }
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
    const index = requests.endOf(fields.requestId)
    return index === undefined ? Promise.reject(noSuchRecord()) : Promise.resolve(index)
  }

  async function endOpen(fields: EndFields, request: OpenRequest): Promise<number> {
    try {
      await request.beginning?.catch(() => {
        throw noSuchRecord()
      })
      const index = await log.append([{ type: 'end', ...fields }])
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
    const appended = log.append(ids.map((requestId) => ({ type: 'end', requestId, outcome: 'interrupted' })))
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
  return { begin, end, attach, drain }
}

function noSuchRecord(): ServiceError {
  return new ServiceError('NOT_FOUND', 'no_such_record', 'This request has no record that could be ended.')
}

function leaving(): ServiceError {
  return new ServiceError('UNAVAILABLE', 'draining', 'The audit service is stopping.', { retryAfterMs: 1000 })
}

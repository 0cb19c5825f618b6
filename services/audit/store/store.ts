/**
 * Where a log is kept: its entries, the hashes of its tree, and the newest checkpoint that was signed. What a promise resolved for
 * survives a power failure. There are two: a folder on one machine (store/folder), and PostgreSQL (store/postgres).
 */
export interface LogStore {
  /** What is committed. */
  head(): Promise<TreeHead>
  /**
   * Appends entries behind `from`, all of them or none. One call at a time.
   * Throws HeadMovedError when the log does not end at `from`: somebody else writes it, and this writer must stop.
   * Throws StoreError with `stored: 'no'` when the entries are not in the log and the same append can be tried again, and `'unknown'`
   * when that can't be told: then head() says, once it works again.
   */
  append(batch: Batch): Promise<void>
  /**
   * The entries from one index up to, not with, another, in their order. Undefined for each that was pruned. Throws RangeError beyond
   * the head.
   */
  entries(from: number, to: number): AsyncGenerator<Uint8Array | undefined, void, undefined>
  /**
   * A tile as tlog-tiles has it, 32 bytes for each of `width` hashes. `width` is 256 for a full one, or what the head or a signed
   * checkpoint makes of the last one. Undefined when there is none.
   */
  tile(level: number, index: number, width: number): Promise<Uint8Array | undefined>
  /** The note of the newest checkpoint that was published; undefined before the first. */
  checkpoint(): Promise<string | undefined>
  /** Puts a checkpoint in the place of `previous`. Throws HeadMovedError when another stands there. */
  publish(previous: string | undefined, checkpoint: string): Promise<void>
  /**
   * Drops entries, not their hashes, for good. Wherever a crash leaves off, none is gone while a smaller one is there.
   * Those that are gone already are passed over.
   */
  prune(indexes: Iterable<number>): Promise<void>
  /** Aborts, with a StoreError, when this process is no longer the only one that may write. */
  readonly lost: AbortSignal
  close(): Promise<void>
}

export interface TreeHead {
  /** Entries. */
  size: number
  /** RFC 6962; 32 bytes. */
  root: Uint8Array
}

export interface Batch {
  from: TreeHead
  to: TreeHead
  /** At least one, each 1 to 65,535 bytes. */
  entries: readonly Uint8Array[]
  /** The tiles that these entries make full, lowest level first. */
  tiles: readonly FullTile[]
}

export interface FullTile {
  level: number
  index: number
  /** 256 hashes of 32 bytes. */
  hashes: Uint8Array
}

/** Another writer has changed the log: to go on would fork it. */
export class HeadMovedError extends Error {}

/** Why a store could not be written, as far as it can tell. */
export type StoreTrouble = 'disk_full' | 'read_only' | 'io_error' | 'slow' | 'store_down' | 'unknown'

/** The store could not do what was asked. Its message is for the operator and holds nothing of an entry. */
export class StoreError extends Error {
  readonly stored: 'no' | 'unknown'
  readonly trouble: StoreTrouble

  constructor(message: string, { stored, trouble = 'unknown', cause }: { stored: 'no' | 'unknown'; trouble?: StoreTrouble; cause?: unknown }) {
    super(message, cause === undefined ? {} : { cause })
    this.stored = stored
    this.trouble = trouble
  }
}

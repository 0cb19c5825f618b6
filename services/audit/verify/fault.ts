/**
 * changed: an entry is not the one that was written; missing: a file is gone; wrong_hash: a tile holds a hash that is not its entries';
 * malformed: a file or an entry is not what its format says; wrong_checkpoint: the checkpoint is of another tree, of another log, or not
 * signed by the key.
 */
export type FaultKind = 'changed' | 'missing' | 'wrong_hash' | 'malformed' | 'wrong_checkpoint'

export interface Fault {
  kind: FaultKind
  /** The entry that is bad, or the first one that the bad file has to do with. */
  index?: number
  /** The bad file, relative to the log's folder. */
  path?: string
  /** One sentence for people. */
  message: string
}

/** The first fault that was found: the check ends there. */
export class FaultFound extends Error {
  readonly fault: Fault

  constructor(fault: Fault) {
    super(fault.message)
    this.fault = fault
  }
}

export function found(kind: FaultKind, message: string, where: { index?: number; path?: string } = {}): FaultFound {
  return new FaultFound({ kind, ...where, message })
}

import { hash } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'

/**
 * Ids of requests are random, and an index over ten million of them would change a page with each request. So it is cut into generations
 * of so few pages that a batch of requests changes little more than it adds; a look-up asks one after the other, the newest first, at some
 * microseconds each.
 */
const generationSize = 32_768

export function requestGeneration(n: number): number {
  return Math.floor(n / generationSize)
}

/** 48 bits. */
export function requestHash(requestId: string): number {
  return Number.parseInt(hash('sha256', requestId).slice(0, 12), 16)
}

/** Finds a request's number by its id; the newest, should there be two. */
export function createRequestFinder(database: DatabaseSync): (requestId: string) => number | undefined {
  const newest = database.prepare('SELECT max(generation) AS generation FROM request_ids')
  const oldest = database.prepare('SELECT min(generation) AS generation FROM request_ids')
  const select = database.prepare(
    'SELECT r.n FROM request_ids i JOIN requests r ON r.n = i.n WHERE i.generation = ? AND i.hash = ? AND r.request_id = ? ORDER BY r.n DESC LIMIT 1',
  )
  return (requestId) => {
    const last = Number(oldest.get()?.['generation'] ?? 0)
    for (let generation = Number(newest.get()?.['generation'] ?? -1); generation >= last; generation -= 1) {
      const row = select.get(generation, requestHash(requestId), requestId)
      if (row !== undefined) return Number(row['n'])
    }
    return undefined
  }
}

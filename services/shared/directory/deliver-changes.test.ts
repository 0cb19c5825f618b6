import { expect, test, vi } from 'vitest'
import { ServiceError } from '../errors.ts'
import type { DirectoryChange } from './changes.ts'
import { deliverChanges } from './deliver-changes.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }

test('changes of the directory are told from where the ledger is, in their order, until it has them', async () => {
  const change = (id: number): DirectoryChange => ({ id, changedAt: '2026-11-01T00:00:00.000Z', event: 'team.created', team: `t${id}`, keyId: '', settings: [] })
  const all = Array.from({ length: 250 }, (_, at) => change(at + 1))
  const directory = { changesAfter: (id: number, limit: number) => all.filter((one) => one.id > id).slice(0, limit) }
  const recorded: number[] = []
  let failures = 2
  const delivery = deliverChanges({
    directory,
    log: logger,
    intervalMs: 5,
    record({ id }) {
      if (failures-- > 0) return Promise.reject(new ServiceError('UNAVAILABLE', 'audit_unavailable', 'Away.'))
      recorded.push(id)
      return Promise.resolve()
    },
  })
  await new Promise((resolve) => setImmediate(resolve))
  expect(recorded).toEqual([])
  delivery.attached(3)
  await vi.waitFor(() => expect(recorded).toHaveLength(247))
  expect(recorded).toEqual(all.slice(3).map(({ id }) => id))
  all.push(change(900))
  await vi.waitFor(() => expect(recorded.at(-1)).toBe(900))
  delivery.close()
})

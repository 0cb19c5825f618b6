import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { exitStatus } from '../../services/shared/supervision.ts'
import { startAudit } from './support/audit-process.ts'

let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'intramuros-refused-'))
})
afterEach(() => rm(home, { recursive: true }))

test('a folder that can not be made is named', async () => {
  await writeFile(join(home, 'a file'), '')
  const audit = await startAudit({ home, env: { INTRAMUROS_AUDIT_FOLDER: join(home, 'a file/audit') } })
  expect(await audit.ended).toBe(exitStatus.crashed)
  expect(audit.output()).toContain(join(home, 'a file/audit'))
  expect(audit.output()).toContain('ENOTDIR')
})

test('an address that is taken is named', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  try {
    const address = `127.0.0.1:${(other.address() as AddressInfo).port}`
    const audit = await startAudit({ home, env: { INTRAMUROS_AUDIT_LISTEN: address } })
    expect(await audit.ended).toBe(exitStatus.portInUse)
    expect(audit.output()).toContain(address)
  } finally {
    other.close()
  }
})

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureCertificates } from '../../deploy/local/certificates.ts'
import type { Logger } from '../../services/shared/log.ts'
import { type Identity, watchIdentity } from '../../services/shared/tls/identity.ts'

export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/** Real certificates of a CA of their own, in a folder that close() removes. */
export interface Identities {
  folder: string
  /** The certificate of a service, for example "gateway". */
  of(name: string): Promise<Identity>
  close(): Promise<void>
}

export async function createIdentities(): Promise<Identities> {
  const folder = await mkdtemp(join(tmpdir(), 'intramuros-tls-'))
  await ensureCertificates({ folder, now: () => new Date(), httpsNames: [] })
  const opened: Identity[] = []
  return {
    folder,
    async of(name) {
      const identity = await watchIdentity({ file: join(folder, `${name}.pem`), caFile: join(folder, 'ca.crt'), log: silent })
      opened.push(identity)
      return identity
    },
    async close() {
      for (const identity of opened) identity.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

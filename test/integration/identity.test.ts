import { join } from 'node:path'
import { Metadata } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AuditClient, Outcome } from '../../proto/gen/intramuros/v1/audit.ts'
import { InferenceClient } from '../../proto/gen/intramuros/v1/inference.ts'
import { TokenizerClient } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import { channelCredentials, channelOptions } from '../../services/shared/tls/grpc-credentials.ts'
import { type Identity, watchIdentity } from '../../services/shared/tls/identity.ts'
import { createIdentities, type Identities, silent } from '../support/identities.ts'
import { type Platform, type Role, startPlatform } from '../support/platform.ts'

const permissionDenied = 7
const unavailable = 14
let platform: Platform
let foreign: Identities
const opened: Identity[] = []

beforeAll(async () => {
  platform = await startPlatform()
  foreign = await createIdentities()
})
afterAll(async () => {
  for (const identity of opened) identity.close()
  await foreign.close()
  await platform.stop()
})

async function identityOf(name: string): Promise<Identity> {
  const identity = await watchIdentity({ file: join(platform.home, `tls/${name}.pem`), caFile: join(platform.home, 'tls/ca.crt'), log: silent })
  opened.push(identity)
  return identity
}

/** Status code of one call of the service's main method; 0 when it was answered. */
function call(role: Role, identity: Identity): Promise<number> {
  const address = `127.0.0.1:${platform.ports(role)['grpc']}`
  const credentials = channelCredentials(identity)
  const deadline = { deadline: Date.now() + 10_000 }
  return new Promise((resolve) => {
    const settle = (error: { code: number } | null): void => {
      client.close()
      resolve(error?.code ?? 0)
    }
    let client: { close(): void }
    if (role === 'audit') {
      const audit = new AuditClient(address, credentials, channelOptions('audit'))
      client = audit
      const record = { requestId: 'r', outcome: Outcome.CANCELLED, finishReason: '', error: '', inputTokens: 0, outputTokens: 0, responseBytes: 0, firstTokenUs: 0n, durationUs: 0n, worker: '', cachedTokens: 0, workerUs: 0n, workerVersion: '', redactions: [] }
      audit.end(record, new Metadata(), deadline, settle)
    } else if (role === 'tokenizer') {
      const tokenizer = new TokenizerClient(address, credentials, channelOptions('tokenizer'))
      client = tokenizer
      tokenizer.prepare({ model: platform.model, prompt: { $case: 'text', value: { text: 'x' } }, maxTokens: 1, format: undefined, wantText: false, anyLength: false }, new Metadata(), deadline, settle)
    } else {
      const worker = new InferenceClient(address, credentials, channelOptions('inference-worker'))
      client = worker
      const stream = worker.watch({}, deadline)
      stream.on('data', () => stream.cancel())
      stream.on('error', (error: Error & { code: number }) => settle(error.code === 1 ? null : error))
    }
  })
}

describe.each(['audit', 'tokenizer', 'worker-0'] as Role[])('%s', (role) => {
  test('answers the gateway, and nobody else', async () => {
    expect(await call(role, await identityOf('gateway'))).not.toBe(permissionDenied)
    for (const other of ['audit', 'tokenizer', 'inference-worker']) expect(await call(role, await identityOf(other))).toBe(permissionDenied)
  })

  test('does not even shake hands with the certificate of the public address, or of another CA', async () => {
    expect(await call(role, await identityOf('https'))).toBe(unavailable)
    expect(await call(role, await foreign.of('gateway'))).toBe(unavailable)
  })
})

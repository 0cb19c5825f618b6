import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TreeHead } from '../../store/store.ts'
import { parseCheckpoint } from '../../tlog/checkpoint.ts'
import { cosignatureSigner } from '../../tlog/cosignature.ts'
import { emptyRoot } from '../../tlog/merkle.ts'
import { ed25519Verifier, formatSignature, openNote, parseNote, signatureBy, UnverifiedError } from '../../tlog/note.ts'
import { makeNoteKey } from '../../tlog/note-key.ts'
import { verifyConsistency } from '../../tlog/verify-proofs.ts'

/** A witness as c2sp.org/tlog-witness wants it: it remembers what it has cosigned of each log, and cosigns only what goes on from that. */
export interface WitnessServer {
  vkey: string
  url: string
  /** It knows one log more, by its public key. */
  learn(vkey: string): void
  /** By origin. */
  seen: Map<string, TreeHead>
  /** Sizes that it was told as old, in order. */
  asked: number[]
  /** When set, answers in the place of the witness. */
  answer: ((request: IncomingMessage, response: ServerResponse) => void) | undefined
  close(): Promise<void>
}

/** `logs`: the public keys of the logs that it knows. */
export async function startWitnessServer(name: string, logs: readonly string[]): Promise<WitnessServer> {
  const key = makeNoteKey(name, 'cosignature')
  const signer = cosignatureSigner(key.skey, () => Date.now() / 1000)
  const known = new Map(logs.map((vkey) => [ed25519Verifier(vkey).name, ed25519Verifier(vkey)]))
  const server: Server = createServer((request, response) => {
    if (witness.answer !== undefined) return witness.answer(request, response)
    void respond(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const witness: WitnessServer = {
    vkey: key.vkey,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/prefix/`,
    learn: (vkey) => void known.set(ed25519Verifier(vkey).name, ed25519Verifier(vkey)),
    seen: new Map(),
    asked: [],
    answer: undefined,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return witness

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bodyOf(request)
    const { status, text, type } = addCheckpoint(request.method === 'POST' && request.url === '/prefix/add-checkpoint' ? body : '')
    response.writeHead(status, { 'content-type': type ?? 'text/plain' }).end(text)
  }

  function addCheckpoint(body: string): { status: number; text: string; type?: string } {
    const [, old, proofLines, note] = /^old (0|[1-9][0-9]*)\n((?:[A-Za-z0-9+/]{43}=\n){0,63})\n([^]*)$/.exec(body) ?? []
    if (old === undefined || note === undefined) return { status: 400, text: '' }
    const { text } = parseNote(note)
    const checkpoint = parseCheckpoint(text)
    const verifier = known.get(checkpoint.origin)
    if (verifier === undefined) return { status: 404, text: '' }
    try {
      openNote(note, [verifier])
    } catch (thrown) {
      if (thrown instanceof UnverifiedError) return { status: 403, text: '' }
      throw thrown
    }
    const from = Number(old)
    witness.asked.push(from)
    if (from > checkpoint.size) return { status: 400, text: '' }
    const last = witness.seen.get(checkpoint.origin) ?? { size: 0, root: emptyRoot() }
    if (last.size !== from) return { status: 409, text: `${last.size}\n`, type: 'text/x.tlog.size' }
    const proof = (proofLines ?? '').split('\n').slice(0, -1).map((line) => Buffer.from(line, 'base64'))
    if (from === checkpoint.size && Buffer.compare(checkpoint.root, last.root) !== 0) return { status: 409, text: '' }
    const fits = from === 0 ? proof.length === 0 : verifyConsistency({ from: last, to: checkpoint, proof })
    if (!fits) return { status: 422, text: '' }
    witness.seen.set(checkpoint.origin, { size: checkpoint.size, root: checkpoint.root })
    return { status: 200, text: formatSignature(signatureBy(signer, text)) }
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = ''
  for await (const part of request as AsyncIterable<Buffer>) body += part.toString('utf8')
  return body
}

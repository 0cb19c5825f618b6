import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import type { Registry } from 'prom-client'
import type { Config } from '../../shared/config/schema.ts'
import type { Logger } from '../../shared/log.ts'
import type { LogStore } from '../store/store.ts'
import { parseCheckpoint } from '../tlog/checkpoint.ts'
import { cosignatureVerifier } from '../tlog/cosignature.ts'
import { ed25519Verifier, type NoteVerifier, parseNote } from '../tlog/note.ts'
import { maxAnswerBytes } from '../tlog/witness.ts'
import { type Anchor, AnchorError } from './anchor.ts'
import { createWitness, type Witness } from './ask-witness.ts'
import { startCopies } from './copies.ts'
import { openCosigned } from './cosigned-file.ts'
import { createFolderAnchor } from './folder-anchor.ts'
import { createHttpServer } from './http-call.ts'
import { createAnchorMetrics } from './metrics.ts'
import { createS3Anchor } from './s3-anchor.ts'
import type { SigV4Credentials } from './sigv4.ts'
import { createSyslogAnchor } from './syslog-anchor.ts'
import { startWitnessRounds } from './witnesses.ts'

type Audit = Pick<Config['audit'], 'witnesses' | 'witnessSeconds' | 'anchors' | 'keyFolder'>
type AnchorSettings = Audit['anchors'][number]

export interface OutsideOptions {
  settings: Audit
  store: Pick<LogStore, 'checkpoint' | 'tile'>
  /** The log's own key; its name is the log's. */
  vkey: string
  /** Puts cosignatures to the published checkpoint, if it is still that one (publisher.ts). */
  publishCosigned: (note: string) => Promise<void>
  registry: Registry
  log: Logger
}

/** Those outside who see the log's checkpoints: witnesses and write-once places. Whatever they do, the log goes on. */
export interface Outside {
  /** A cosigned checkpoint of at least so many records; undefined when there is none (yet). */
  cosignedOf(size: number): string | undefined
  close(): Promise<void>
}

/** Longest that a call may take; a round waits for nobody longer. */
const timeoutMs = 15_000
const closeMs = 5000
const cosignedName = 'cosigned.json'

/** A setting that can't be used: told for the operator. */
export class AnchorSettingsError extends Error {
  override readonly name = 'AnchorSettingsError'
}

/** Throws AnchorSettingsError for a key or a file of CAs that can't be used. */
export async function startOutside({ settings, store, vkey, publishCosigned, registry, log }: OutsideOptions): Promise<Outside> {
  const { keyFolder, witnesses, anchors, witnessSeconds } = settings
  const clock = Date.now
  const readTile: LogStore['tile'] = (level, index, width) => store.tile(level, index, width)
  const asked = await Promise.all(witnesses.map((witness, index) => openWitness(witness, `audit.witnesses[${index}]`)))
  const own = ed25519Verifier(vkey)
  const cosigned = await openCosigned(join(keyFolder, cosignedName), { origin: own.name, log: [own], witnesses: asked.map(({ verifier }) => verifier) })
  const places = await Promise.all(anchors.map(async (anchor, index) => ({ anchor: await openAnchor(anchor, `audit.anchors[${index}]`), intervalMs: (anchor.everySeconds ?? 300) * 1000 })))
  const metrics = createAnchorMetrics({ registry, witnesses: asked.map(({ witness: { name } }) => name), anchors: anchors.map(({ name }) => name), clock })
  const newest = async (): Promise<{ size: number; note: string } | undefined> => {
    const note = await store.checkpoint()
    return note === undefined ? undefined : { size: parseCheckpoint(parseNote(note).text).size, note }
  }
  const shared = { newest, log, clock, pause }
  const rounds = startWitnessRounds({ ...shared, witnesses: asked.map(({ witness }) => witness), intervalMs: witnessSeconds * 1000, cosigned, onCosigned: publishCosigned, metrics: metrics.witness })
  const copies = startCopies({ ...shared, anchors: places, metrics: metrics.copy })
  return {
    cosignedOf: (size) => cosigned.of(size),
    // A file system that hangs can't be told to give up: it is not waited for longer.
    close: () => Promise.race([Promise.all([rounds.close(), copies.close()]).then(() => undefined), after(closeMs, undefined, { ref: false })]),
  }

  async function openWitness({ vkey: key, url, caFile }: Audit['witnesses'][number], where: string): Promise<{ witness: Witness; verifier: NoteVerifier }> {
    let verifier: NoteVerifier
    try {
      verifier = cosignatureVerifier(key)
    } catch (thrown) {
      throw new AnchorSettingsError(`${where}.vkey is no key of a witness: ${thrown instanceof Error ? thrown.message : ''}.`)
    }
    const server = createHttpServer({ url, ca: await readCa(caFile, where), timeoutMs, maxAnswerBytes })
    const prefix = new URL(url).pathname.replace(/\/+$/, '')
    return { witness: createWitness({ name: verifier.name, keys: [verifier], server, prefix, readTile }), verifier }
  }

  async function openAnchor(anchor: AnchorSettings, where: string): Promise<Anchor> {
    const { name, kind, folder = '', caFile } = anchor
    const ca = await readCa(caFile, where)
    switch (kind) {
      case 'folder':
        return createFolderAnchor({ name, folder, readTile })
      case 's3':
        return openS3(anchor, ca)
      case 'syslog': {
        const { host, port } = splitAddress(anchor.syslogAddress ?? '')
        return createSyslogAnchor({ name, host, port, transport: anchor.syslogTransport ?? 'tls', ca, hostname: hostname(), clock, timeoutMs })
      }
    }
  }

  function openS3({ name, s3Url = '', s3Region = 'us-east-1', s3Bucket = '', s3Prefix = '', s3AccessKeyFile = '', s3SecretKeyFile = '', s3RetentionDays = 3650 }: AnchorSettings, ca: string | undefined): Anchor {
    const server = createHttpServer({ url: s3Url, ca, timeoutMs, maxAnswerBytes: 1024 * 1024 })
    const credentials = async (): Promise<SigV4Credentials> => ({ accessKey: await readSecret(s3AccessKeyFile, 's3AccessKeyFile'), secretKey: await readSecret(s3SecretKeyFile, 's3SecretKeyFile') })
    return createS3Anchor({ name, server, region: s3Region, bucket: s3Bucket, prefix: s3Prefix, retentionDays: s3RetentionDays, credentials, clock })
  }
}

async function readCa(file: string | undefined, where: string): Promise<string | undefined> {
  if (file === undefined || file === '') return undefined
  try {
    return await readFile(file, 'utf8')
  } catch {
    throw new AnchorSettingsError(`${where}.caFile can not be read: ${file}`)
  }
}

async function readSecret(file: string, setting: string): Promise<string> {
  let text: string
  try {
    text = (await readFile(file, 'utf8')).trim()
  } catch (cause) {
    throw new AnchorError(`The file of ${setting} could not be read.`, { cause })
  }
  // It goes into a header.
  if (!/^[!-~]{1,512}$/.test(text)) throw new AnchorError(`The file of ${setting} does not hold a key alone.`)
  return text
}

/** "host:port" or "[::1]:port", checked with the settings. */
function splitAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':')
  return { host: address.slice(0, colon).replaceAll(/[[\]]/g, ''), port: Number(address.slice(colon + 1)) }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await after(ms, undefined, { signal, ref: false }).catch(() => undefined)
}

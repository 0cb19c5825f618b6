import { setTimeout as wait } from 'node:timers/promises'
import { statusFailure } from './download.ts'
import { Interrupted, SourceFailed, Unreachable, networkReason } from './failures.ts'
import type { HttpClient } from './http-client.ts'

/** The largest project pages of public indexes have some 20 MB. */
const maxBytes = 64 << 20

/** A page of text with its content type and the URL that gave it in the end. Tries again as downloads do. Throws SourceFailed. */
export async function fetchText(
  url: URL,
  accept: string,
  client: HttpClient,
  signal: AbortSignal,
): Promise<{ text: string; type: string; url: URL }> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await once(url, accept, client, signal)
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof Interrupted) || error instanceof Unreachable || failures >= client.limits.attempts) throw error
      await wait(client.limits.backoffMs * 2 ** (failures - 1), undefined, { signal })
    }
  }
}

async function once(
  start: URL,
  accept: string,
  client: HttpClient,
  signal: AbortSignal,
): Promise<{ text: string; type: string; url: URL }> {
  const { response, url } = await client.get(start, { accept, 'accept-encoding': 'identity', 'user-agent': 'intramuros' }, signal)
  try {
    if (response.statusCode !== 200) throw statusFailure(response)
    const chunks: Buffer[] = []
    let bytes = 0
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > maxBytes) throw new SourceFailed('its page is too large')
      chunks.push(chunk)
    }
    return { text: Buffer.concat(chunks).toString('utf8'), type: response.headers['content-type'] ?? '', url }
  } catch (error) {
    signal.throwIfAborted()
    throw error instanceof SourceFailed ? error : new Interrupted(networkReason(error), { cause: error })
  } finally {
    response.destroy()
  }
}

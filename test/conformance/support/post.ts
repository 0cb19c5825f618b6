import type { Platform } from '../../support/platform.ts'

/** A request without a client of its API. */
export async function post({ url, key }: Platform, path: string, body: object): Promise<Response> {
  return await fetch(`${url}${path}`, { method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, body: JSON.stringify(body) })
}

import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import OpenAI from 'openai'
import type { Platform } from '../../support/platform.ts'
import { checkedFetch, type CheckedFetch } from '../wire/checked-fetch.ts'

export interface OpenAiClient {
  client: OpenAI
  wire: CheckedFetch
}

/** What Node.js fetches from the platform, it trusts from now on. */
export function trust({ ca }: Platform): void {
  setDefaultCACertificates([...getCACertificates('default'), ca])
}

/** OpenAI's client, with each answer held against OpenAI's types. */
export function openAiClient(platform: Platform, apiKey = platform.key): OpenAiClient {
  const wire = checkedFetch()
  return { client: new OpenAI({ baseURL: `${platform.url}/v1`, apiKey, maxRetries: 0, fetch: wire.fetch }), wire }
}

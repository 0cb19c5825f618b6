import type { ModelEntry } from '../catalogue.ts'
import { download } from '../download.ts'
import { SourceFailed } from '../failures.ts'
import { createHttpClient } from '../http-client.ts'
import { partialPath } from '../store.ts'
import type { SourceContext } from './source.ts'

/** Name of the hub for people: its host. */
export function hubName(context: Pick<SourceContext, 'env' | 'hubEndpoint'>): string {
  const endpoint = endpointOf(context)
  return URL.canParse(endpoint) ? `hub ${new URL(endpoint).host}` : 'hub'
}

/**
 * Downloads the file from a Hugging Face hub or a mirror of it, into the partial folder; returns where it lies, checked.
 * HF_ENDPOINT names a mirror, HF_TOKEN is sent to the endpoint's own origin alone, HF_HUB_OFFLINE=1 keeps it out:
 * https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
 */
export async function fromHub(entry: ModelEntry, context: SourceContext): Promise<string> {
  const { hub } = entry.from
  if (hub === undefined) throw new SourceFailed('the catalogue names no repository for this model')
  if (isTrue(context.env['HF_HUB_OFFLINE'])) throw new SourceFailed('switched off by HF_HUB_OFFLINE')
  const endpoint = endpointOf(context)
  if (!URL.canParse(endpoint)) throw new SourceFailed('its address (HF_ENDPOINT or sources.hub) is not a URL')
  const url = new URL(
    `${endpoint}/${hub.repo}/resolve/${encodeURIComponent(hub.revision)}/${hub.file.split('/').map(encodeURIComponent).join('/')}`,
  )
  const token = context.env['HF_TOKEN']?.trim() ?? ''
  const client = createHttpClient({
    env: context.env,
    authorize: (target) => (token !== '' && target.origin === url.origin ? `Bearer ${token}` : undefined),
    limits: context.limits,
  })
  context.onSource(hubName(context))
  const to = partialPath(context.home, entry)
  await download({ url, to, size: entry.size, sha256: entry.sha256, onBytes: context.onBytes, signal: context.signal }, client)
  return to
}

function endpointOf({ env, hubEndpoint }: Pick<SourceContext, 'env' | 'hubEndpoint'>): string {
  const named = env['HF_ENDPOINT']?.trim() ?? ''
  return (named === '' ? hubEndpoint : named).replace(/\/+$/, '')
}

/** As huggingface_hub reads its switches. */
function isTrue(value: string | undefined): boolean {
  return ['1', 'on', 'yes', 'true'].includes(value?.toLowerCase() ?? '')
}

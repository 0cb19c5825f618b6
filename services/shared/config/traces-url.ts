import type { Problem } from './config-error.ts'
import type { Environment } from './environment.ts'
import { formats } from './formats.ts'
import { allowedText, foundText } from './wording.ts'

const url = { type: 'string', format: 'url' } as const

/**
 * Where OTLP/HTTP traces are posted; empty for nowhere. The setting is a base URL and wins over the standard variables
 * (https://opentelemetry.io/docs/specs/otel/protocol/exporter/): OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is taken as it is,
 * OTEL_EXPORTER_OTLP_ENDPOINT is a base URL too, and OTEL_SDK_DISABLED=true turns all of it off.
 */
export function resolveTracesUrl(endpoint: string, env: Environment): { url: string; problems: Problem[] } {
  if (env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true') return { url: '', problems: [] }
  if (endpoint !== '') return { url: tracesBelow(endpoint), problems: [] }
  for (const variable of ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT']) {
    const text = env[variable] ?? ''
    if (text === '') continue
    if (formats['url']?.accepts(text) !== true) {
      return {
        url: '',
        problems: [{ path: 'telemetry.endpoint', source: variable, found: foundText(text), allowed: allowedText(url) }],
      }
    }
    return { url: variable.includes('TRACES') ? text : tracesBelow(text), problems: [] }
  }
  return { url: '', problems: [] }
}

function tracesBelow(base: string): string {
  const address = new URL(base)
  address.pathname = `${address.pathname.replace(/\/+$/, '')}/v1/traces`
  return address.href
}

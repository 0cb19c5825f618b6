/** What a gateway's readiness hangs on. */
export interface Readiness {
  draining: boolean
  /** The ledger takes records. */
  recording: boolean
  /** Teams and keys are known. */
  directoryKnown: boolean
  tokenizerUp: boolean
  models: Iterable<string>
  /** Whether a worker of this model is there. */
  serves(model: string): boolean
  /** Peers are found in a cluster (gateway.kubernetes.namespace). */
  inCluster: boolean
}

/**
 * Whether the gateway is to be sent requests. On one machine it is once every model can be asked, so that `intramuros start` tells when all is up. In a cluster a model
 * without a worker is no reason to take the others away: its own requests get 503 until a worker is there, and pools are scaled, restarted and updated each by itself.
 */
export function isReady({ draining, recording, directoryKnown, tokenizerUp, models, serves, inCluster }: Readiness): boolean {
  return !draining && recording && directoryKnown && tokenizerUp && (inCluster || [...models].every((model) => serves(model)))
}

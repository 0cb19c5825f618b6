/** Settings that several services have. */
export const port = { type: 'integer', minimum: 0, maximum: 65_535 } as const
export const metricsPort = {
  ...port,
  description: 'Port of /metrics, /livez and /readyz, on metricsHost; 0: any free one.',
} as const

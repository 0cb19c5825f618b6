/** How long records of the ledger are kept; a part of the section audit of the configuration's schema, see schema.ts. */
const days = { type: 'integer', minimum: 1, maximum: 3650, default: 365, unit: 'days' } as const

export const auditRetention = {
  type: 'object',
  description:
    "How long records stay in the log, by their class; then they are dropped within a day, for good, and only their hashes stay. Below 184 days the service warns at each start: the EU's AI Act asks for six months at least. See docs/audit.md.",
  additionalProperties: false,
  properties: {
    requestsDays: { ...days, description: 'Who asked which model when, and how it ended. Counted from the end of a request; one that is open stays.' },
    securityDays: { ...days, description: 'Log-ins that failed, requests that were refused, reads of the log.' },
    administrationDays: { ...days, description: 'Changes of teams, keys and settings, starts and stops, gaps of the log.' },
  },
} as const

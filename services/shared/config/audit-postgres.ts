/** Where PostgreSQL keeps the ledger; a part of the section audit of the configuration's schema, see schema.ts. */
export const auditPostgres = {
  type: 'object',
  description: 'The log in PostgreSQL (14 or later) in place of a folder: for clusters. See docs/audit-postgres.md.',
  additionalProperties: false,
  properties: {
    url: {
      type: 'string',
      format: 'postgres-url',
      default: '',
      description: 'The database, as postgres://user@host:5432/database; a folder of sockets as postgres://user@%2Frun%2Fpostgresql/database. Empty: the log is in audit.folder.',
    },
    passwordFile: {
      type: 'string',
      format: 'file',
      default: '',
      description: 'File that holds the password alone; it is read again for each connection. Empty: none is sent.',
    },
    tls: {
      type: 'string',
      enum: ['auto', 'verify-full', 'off'],
      default: 'auto',
      description: 'auto: verify-full, the certificate and the name in it checked, unless the server is on this machine.',
    },
    caFile: {
      type: 'string',
      format: 'file',
      default: '',
      description: "PEM file of the CAs that the server's certificate may come from; empty: those that Node.js trusts.",
    },
    timeoutSeconds: {
      type: 'integer',
      minimum: 1,
      maximum: 300,
      default: 5,
      unit: 'seconds',
      description: 'Longest wait for an answer of the database; after it the log counts as hung, and requests are refused until it answers.',
    },
  },
} as const

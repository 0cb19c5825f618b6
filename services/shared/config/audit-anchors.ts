import type { Problem } from './config-error.ts'

/** Who sees the ledger's checkpoints beside its own folder; a part of the section audit of the configuration's schema, see schema.ts. */
const caFile = {
  type: 'string',
  format: 'file',
  default: '',
  description: "PEM file of the CAs that the server's certificate may come from; not given: those that Node.js trusts.",
} as const

export const auditWitnesses = {
  type: 'array',
  items: {
    type: 'object',
    additionalProperties: false,
    required: ['vkey', 'url'],
    properties: {
      vkey: {
        type: 'string',
        maxLength: 1024,
        pattern: '^[^\\s+]+\\+[0-9a-f]{8}\\+[A-Za-z0-9+/=]+$',
        description: 'Public key of the witness, as name+id+base64, of the kind for cosignatures (Ed25519). Its name is in logs and metrics.',
      },
      url: { type: 'string', format: 'url', description: 'Where it takes checkpoints: its submission prefix, without add-checkpoint.' },
      caFile,
    },
  },
  default: [],
  description: 'Witnesses that cosign checkpoints (C2SP tlog-witness); see docs/audit.md. The service connects to them.',
} as const

export const auditWitnessSeconds = {
  type: 'integer',
  minimum: 1,
  maximum: 86_400,
  default: 60,
  unit: 'seconds',
  description: 'How often each witness is asked to cosign the newest checkpoint.',
} as const

export const auditAnchors = {
  type: 'array',
  items: {
    type: 'object',
    additionalProperties: false,
    required: ['name', 'kind'],
    properties: {
      name: { type: 'string', format: 'name', description: 'What it is called in logs and metrics.' },
      kind: { type: 'string', enum: ['folder', 's3', 'syslog'], description: 'What it is. The fields whose names begin with another kind are not for it.' },
      everySeconds: { type: 'integer', minimum: 1, maximum: 86_400, default: 300, unit: 'seconds', description: 'How often the newest checkpoint is copied; not given: 300.' },
      folder: { type: 'string', format: 'folder', description: 'folder: where the files go. It must be there.' },
      s3Url: { type: 'string', format: 'url', description: 's3: the server, as https://host or https://host:port; buckets are in the path.' },
      s3Region: { type: 'string', format: 'name', default: 'us-east-1', description: 's3: region that calls are signed for; not given: us-east-1.' },
      s3Bucket: { type: 'string', format: 'name', description: 's3: a bucket with object lock.' },
      s3Prefix: { type: 'string', maxLength: 512, pattern: '^[A-Za-z0-9/._-]*$', default: '', description: 's3: what the names of the objects begin with; a slash follows.' },
      s3AccessKeyFile: { type: 'string', format: 'file', description: 's3: file that holds the id of the access key alone; read again for each call.' },
      s3SecretKeyFile: { type: 'string', format: 'file', description: 's3: file that holds the secret key alone; read again for each call.' },
      s3RetentionDays: { type: 'integer', minimum: 1, maximum: 36_500, default: 3650, unit: 'days', description: 's3: how long each object is locked, in compliance mode: nobody can delete it before; not given: 3650.' },
      syslogAddress: { type: 'string', format: 'host:port', description: 'syslog: the receiver.' },
      syslogTransport: { type: 'string', enum: ['tls', 'tcp', 'udp'], default: 'tls', description: 'syslog: how it is spoken to (RFC 5425, 6587, 5426); not given: tls.' },
      caFile,
    },
  },
  default: [],
  description: 'Write-once places that checkpoints are copied to; see docs/audit.md. The service connects to those of the kinds s3 and syslog.',
} as const

interface AnchorEntry {
  name: string
  kind: string
  [field: string]: unknown
}

/** What each kind must have; all other fields of its name may be there. */
const needed: Readonly<Record<string, readonly string[]>> = {
  folder: ['folder'],
  s3: ['s3Url', 's3Bucket', 's3AccessKeyFile', 's3SecretKeyFile'],
  syslog: ['syslogAddress'],
}

/** What the schema can't tell of audit.anchors and audit.witnesses. */
export function anchorProblems(
  { anchors, witnesses }: { anchors: readonly AnchorEntry[]; witnesses: readonly { vkey: string }[] },
  originOf: (path: string, at: readonly (string | number)[]) => string,
): Problem[] {
  const problems: Problem[] = []
  for (const [index, anchor] of anchors.entries()) {
    const add = (field: string, found: string, allowed: string, at: readonly (string | number)[]): void =>
      void problems.push({ path: `audit.anchors[${index}].${field}`, source: originOf('audit.anchors', at), found, allowed })
    for (const field of needed[anchor.kind] ?? []) {
      if (anchor[field] === undefined) add(field, 'nothing', `what an anchor of kind ${anchor.kind} needs`, [index])
    }
    for (const field of Object.keys(anchor)) {
      const kind = ['folder', 's3', 'syslog'].find((one) => field.startsWith(one))
      if (kind !== undefined && kind !== anchor.kind) add(field, `a setting of the kind ${kind}`, `settings of the kind ${anchor.kind}`, [index, field])
    }
    if (anchors.findIndex(({ name }) => name === anchor.name) < index) add('name', 'a name that another one has', 'a name of its own', [index, 'name'])
  }
  const nameOf = ({ vkey }: { vkey: string }): string => vkey.slice(0, vkey.indexOf('+'))
  for (const [index, witness] of witnesses.entries()) {
    if (witnesses.findIndex((other) => nameOf(other) === nameOf(witness)) === index) continue
    problems.push({ path: `audit.witnesses[${index}].vkey`, source: originOf('audit.witnesses', [index, 'vkey']), found: 'the name of a witness that is in the list already', allowed: 'each witness once' })
  }
  return problems
}

import { metricsPort, port } from './ports.ts'

/** The gateway's section of the configuration's schema; see schema.ts. */
export const gateway = {
  type: 'object',
  description: 'The front door: HTTPS, identity, queue, the OpenAI API.',
  additionalProperties: false,
  properties: {
    host: { type: 'string', format: 'host', default: '127.0.0.1', description: 'Address that HTTPS is served on.' },
    port: { ...port, default: 8443, description: 'Port that HTTPS is served on; 0: any free one.' },
    names: {
      type: 'array',
      items: { type: 'string', format: 'host' },
      default: [],
      description:
        'Further host names and IP addresses that the HTTPS certificate is valid for, beside localhost and its addresses.',
    },
    metricsPort: { ...metricsPort, default: 9464 },
    instance: {
      type: 'string',
      format: 'name',
      default: 'gateway',
      description: 'Name of this gateway in the ledger: stable over its restarts, and another one for each replica.',
    },
    maxBodyBytes: {
      type: 'integer',
      minimum: 1024,
      maximum: 33_554_432,
      default: 4_194_304,
      unit: 'bytes',
      description: 'Largest request body that is read.',
    },
    maxConcurrent: {
      type: 'integer',
      minimum: 1,
      maximum: 100_000,
      default: 256,
      unit: 'requests',
      description: 'Requests under way at once.',
    },
    maxQueued: {
      type: 'integer',
      minimum: 0,
      maximum: 100_000,
      default: 512,
      unit: 'requests',
      description: 'Requests that wait for their turn; one more gets status 429.',
    },
    queueTimeoutSeconds: {
      type: 'integer',
      minimum: 1,
      maximum: 3600,
      default: 30,
      unit: 'seconds',
      description: 'Longest wait for a turn.',
    },
    requestTimeoutSeconds: {
      type: 'integer',
      minimum: 1,
      maximum: 86_400,
      default: 600,
      unit: 'seconds',
      description: 'Longest time from a request to the end of its answer.',
    },
    bodyTimeoutSeconds: {
      type: 'integer',
      minimum: 1,
      maximum: 3600,
      default: 30,
      unit: 'seconds',
      description: 'Longest time for a request body to arrive.',
    },
    drainDelaySeconds: {
      type: 'integer',
      minimum: 0,
      maximum: 300,
      default: 0,
      unit: 'seconds',
      description:
        'How long a gateway that was told to stop serves on before it drains: it is not ready, and each answer asks the client to connect anew (Connection: close). Where a load balancer is in front, longer than that takes to notice, so that an update fails no request.',
    },
    tokenizer: {
      type: 'string',
      format: 'host:port',
      default: '',
      description: 'Where the tokenizer serves gRPC. The local launcher fills it in.',
    },
    audit: {
      type: 'array',
      items: { type: 'string', format: 'host:port' },
      default: [],
      description: 'Where the audit service serves gRPC; several where others stand by: the one that answers writes the log. The local launcher fills it in.',
    },
    contentKeyFolder: {
      type: 'string',
      format: 'folder',
      default: '',
      description:
        "Folder of the keys of teams that have their content kept, one file each; may be a mounted Secret. Not in the state folder, nor in a backup of it: whoever has both can read the content. Empty: no team's content can be kept. See docs/content.md.",
    },
    workers: {
      type: 'array',
      items: { type: 'string', format: 'host:port' },
      default: [],
      description: 'Where the inference workers serve gRPC. The local launcher fills it in.',
    },
    directory: {
      type: 'string',
      enum: ['file', 'audit'],
      default: 'file',
      description: 'Where teams and API keys are asked for: file, in the state folder; audit, of the audit service, which then has audit.directory.',
    },
    kubernetes: {
      type: 'object',
      description: 'In a cluster: the other services are found by watching EndpointSlices, in place of the three settings above. The chart fills it in.',
      additionalProperties: false,
      properties: {
        namespace: { type: 'string', pattern: '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$', default: '', description: 'Namespace of the installation; empty: this is no cluster.' },
        selector: { type: 'string', pattern: '^[A-Za-z0-9./_=,-]*$', default: '', description: 'Label selector of the Services of the installation.' },
      },
    },
  },
} as const

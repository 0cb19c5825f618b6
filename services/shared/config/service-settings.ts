import { auditAnchors, auditWitnesses, auditWitnessSeconds } from './audit-anchors.ts'
import { auditPostgres } from './audit-postgres.ts'
import { auditRetention } from './audit-retention.ts'
import { metricsPort } from './ports.ts'

/** The sections of three of the four services in the configuration's schema; see schema.ts. */
const listen = {
  type: 'string',
  format: 'host:port',
  default: '127.0.0.1:0',
  description: 'Address that it serves gRPC (mutual TLS) on; port 0: any free one.',
} as const

export const tokenizer = {
  type: 'object',
  description: 'Messages become the exact tokens that the model sees.',
  additionalProperties: false,
  properties: { listen, metricsPort: { ...metricsPort, default: 9462 } },
} as const

export const inferenceWorker = {
  type: 'object',
  description: 'One model on one GPU or the CPU.',
  additionalProperties: false,
  properties: {
    listen,
    metricsPort: { ...metricsPort, default: 9463 },
    model: {
      type: 'string',
      default: '',
      description: 'Id of the model that this worker serves. The local launcher fills it in, for one worker each.',
    },
    engine: {
      type: 'string',
      enum: ['llama', 'openai'],
      default: 'llama',
      description: 'What runs the model: llama.cpp in the worker itself, or a server beside it that has the OpenAI API; see docs/engines.md.',
    },
    openai: {
      type: 'object',
      description: 'The server that runs the model, with the engine openai.',
      additionalProperties: false,
      properties: {
        url: {
          type: 'string',
          format: 'pod-url',
          default: '',
          description: 'Where it listens. The worker opens no connection that leaves its pod.',
        },
        kind: {
          type: 'string',
          enum: ['auto', 'vllm', 'sglang', 'llama-server'],
          default: 'auto',
          description: 'Which server it is; auto: as it says itself.',
        },
        model: { type: 'string', default: '', description: 'Name of the model there; empty: the only one that it serves.' },
        apiKeyFile: { type: 'string', format: 'file', default: '', description: 'File that holds the API key that it wants; empty: it wants none.' },
        slots: {
          type: 'integer',
          minimum: 0,
          maximum: 4096,
          default: 0,
          unit: 'requests',
          description: 'Requests that are sent to it at once, in place of slots; 0: as many as it works on at once, or 64 where it does not tell.',
        },
        startTimeoutSeconds: {
          type: 'integer',
          minimum: 1,
          maximum: 86_400,
          default: 1800,
          unit: 'seconds',
          description: 'Longest wait for it to have loaded its model; after it the worker ends and is started again.',
        },
        firstTokenTimeoutSeconds: {
          type: 'integer',
          minimum: 1,
          maximum: 3600,
          default: 300,
          unit: 'seconds',
          description: 'Longest time from a request to its first token; between two tokens it is stepTimeoutSeconds.',
        },
      },
    },
    slots: {
      type: 'integer',
      minimum: 0,
      maximum: 256,
      default: 4,
      unit: 'requests',
      description: 'Requests that are decoded at once; 0: up to 4 on the CPU and 16 on a GPU, as fit the memory.',
    },
    contextLength: {
      type: 'integer',
      minimum: 0,
      maximum: 16_777_216,
      default: 4096,
      unit: 'tokens',
      description:
        "Longest prompt and answer together, for each slot; 0: the model's own limit, or what of it fits the memory. The KV cache grows with it times slots.",
    },
    kvCacheType: {
      type: 'string',
      enum: ['f16', 'q8_0', 'q4_0'],
      default: 'f16',
      description: 'How keys and values are kept: q8_0 takes a little over half the memory of f16, q4_0 a little over a quarter, less exactly.',
    },
    flashAttention: {
      type: 'string',
      enum: ['auto', 'on', 'off'],
      default: 'auto',
      description: 'Attention without its scores in memory; auto: where model and machine can. A kvCacheType other than f16 needs it.',
    },
    memory: {
      type: 'string',
      format: 'size',
      default: '',
      description: 'RAM that a worker may take, for example 12GiB; empty: what is free when it starts, less something to spare where sizes are chosen.',
    },
    gpuMemory: {
      type: 'string',
      format: 'size',
      default: '',
      description: 'The same of the memory of the GPUs.',
    },
    gpuLayers: {
      type: 'integer',
      minimum: -1,
      maximum: 1024,
      default: -1,
      unit: 'layers',
      description: 'The last layers that are on the GPU, the output counted as one; -1: as many as fit.',
    },
    batchSize: {
      type: 'integer',
      minimum: 1,
      maximum: 65_536,
      default: 512,
      unit: 'tokens',
      description: 'Most tokens in one decode call.',
    },
    threads: {
      type: 'integer',
      minimum: 0,
      maximum: 1024,
      default: 0,
      unit: 'threads',
      description: 'CPU threads; 0: one less than the CPUs that it may use (affinity, cpuset, quota of its control group), from 1 to 8.',
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
      description: 'Requests that wait for a slot; of more, the last that came of the team with the most is refused.',
    },
    queueTimeoutSeconds: {
      type: 'integer',
      minimum: 1,
      maximum: 86_400,
      default: 120,
      unit: 'seconds',
      description: 'Longest wait for a slot; a request that would surely wait longer is refused at once.',
    },
    spareSlot: {
      type: 'boolean',
      default: true,
      description: 'One slot more, taken only by a team that has none while all others are taken, so that it needs not wait for them. It takes as much memory as any other.',
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

export const audit = {
  type: 'object',
  description: 'The ledger.',
  additionalProperties: false,
  properties: {
    listen,
    metricsPort: { ...metricsPort, default: 9461 },
    folder: {
      type: 'string',
      format: 'folder',
      default: '',
      description: 'Folder of the log; empty: audit/ in the state folder.',
    },
    directory: {
      type: 'boolean',
      default: false,
      description: 'Teams and API keys are in the state folder of this service, or with audit.postgres.url sealed in that database, and it tells gateways of them: for gateways on other machines. Commands that change them run beside it.',
    },
    keyFolder: {
      type: 'string',
      format: 'folder',
      default: '',
      description:
        "Folder of the key that signs the log's checkpoints, made at first start, and of what it signed last; empty: audit-key/ in the state folder. Keep it, and its backups, apart from those of the log.",
    },
    keyFile: {
      type: 'string',
      format: 'file',
      default: '',
      description:
        'File of that key where it is not log.key in audit.keyFolder, for example of a Kubernetes Secret; it is only read. For audit services that share a log in PostgreSQL: they need the same key, and an audit.folder and audit.keyFolder each of their own.',
    },
    origin: {
      type: 'string',
      default: '',
      description:
        "Name of the log in its checkpoints, and of its key, as a host and a path without a scheme, for example audit.example.org/llm; empty: intramuros.internal/ and a random number. It is the key's for good from the first start on.",
    },
    appendTimeoutSeconds: {
      type: 'integer',
      minimum: 1,
      maximum: 300,
      default: 5,
      unit: 'seconds',
      description: 'Longest wait for a record to be on disk; after it requests are refused with status 503 until the log can be written again.',
    },
    checkpointSeconds: {
      type: 'integer',
      minimum: 1,
      maximum: 3600,
      default: 1,
      unit: 'seconds',
      description: 'Shortest time from one signed checkpoint of the growing log to the next.',
    },
    clockToleranceSeconds: {
      type: 'integer',
      minimum: 0,
      maximum: 31_536_000,
      default: 5,
      unit: 'seconds',
      description:
        "How far the clock may be behind the last record: what is written meanwhile gets that record's time, and says so. Further behind, requests are refused until the clock has caught up, or this is raised.",
    },
    orphanSeconds: {
      type: 'integer',
      minimum: 1,
      maximum: 3600,
      default: 30,
      unit: 'seconds',
      description: 'After so long without its gateway, an open record is closed as interrupted.',
    },
    beginTimeoutSeconds: {
      type: 'integer',
      minimum: 0,
      maximum: 300,
      default: 0,
      unit: 'seconds',
      description: 'Longest time that new requests are held while an audit service that was there starts again; after it they are refused with status 503, as they are at once with 0.',
    },
    endTimeoutSeconds: {
      type: 'integer',
      minimum: 1,
      maximum: 600,
      default: 15,
      unit: 'seconds',
      description: 'Longest wait for the end record of an answer to be on disk; after it the answer ends with an error.',
    },
    contentFolder: {
      type: 'string',
      format: 'folder',
      default: '',
      description:
        'Folder of the content that teams have kept, encrypted; empty: content/ in the state folder. With audit.postgres.url it must be set, to a volume that all audit processes share, or none is kept.',
    },
    contentDays: {
      type: 'integer',
      minimum: 1,
      maximum: 36_500,
      default: 30,
      unit: 'days',
      description: 'How long content is kept, where a team has it kept. What is older is deleted.',
    },
    witnesses: auditWitnesses,
    witnessSeconds: auditWitnessSeconds,
    anchors: auditAnchors,
    onFailure: {
      type: 'string',
      enum: ['refuse', 'allow'],
      default: 'refuse',
      description:
        'What happens to requests while they can not be recorded. With allow they are answered without a record, counted, and recorded later as far as is known; the gateway starts so only with INTRAMUROS_AUDIT_ALLOW_UNRECORDED=yes-i-accept-unrecorded-answers in its environment.',
    },
    retention: auditRetention,
    postgres: auditPostgres,
  },
} as const

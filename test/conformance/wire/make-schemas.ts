import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createGenerator } from 'ts-json-schema-generator'

const sources = {
  'openai-types.ts': ['ChatCompletion', 'ChatCompletionChunk', 'Completion', 'CreateEmbeddingResponse', 'Model', 'Response', 'ResponseStreamEvent'],
  'anthropic-types.ts': ['ErrorResponse', 'Message', 'MessageTokensCount', 'RawMessageStreamEvent'],
}

/** Writes a JSON Schema for each type that an API answers with: every property that a type demands is required, no other is allowed. */
export async function makeSchemas(file: string): Promise<void> {
  const schemas: Record<string, object> = {}
  for (const [source, types] of Object.entries(sources)) {
    const generator = createGenerator({
      path: join(import.meta.dirname, source),
      tsconfig: join(import.meta.dirname, 'tsconfig.json'),
      skipTypeCheck: true, // the clients' own types are their affair
      additionalProperties: false,
      jsDoc: 'none',
      expose: 'export',
    })
    for (const type of types) schemas[type] = generator.createSchema(type)
  }
  await writeFile(file, JSON.stringify(schemas))
}

if (import.meta.main) {
  const [file] = process.argv.slice(2)
  if (file === undefined) throw new Error('Name the file to write.')
  await makeSchemas(file)
}

import type { Command } from 'commander'
import { sizeText } from '../../shared/fit/budget.ts'
import type { MetadataValue } from '../../shared/gguf/gguf-header.ts'
import { quantisationName } from '../../shared/gguf/quantisation.ts'
import { sha256OfFile } from '../../shared/models/digest.ts'
import { isEncrypted } from '../../shared/models/store.ts'
import type { ModelsContext } from './models.ts'
import { type NamedModel, namedModel, readNamed } from './named-model.ts'
import { opennessGrade, opennessParts } from './openness.ts'

interface Flags {
  digest?: true
  template?: true
  json?: true
}

/** Adds `models show`. */
export function registerModelsShow(models: Command, context: ModelsContext): void {
  const { config, out } = context
  models
    .command('show')
    .description('tell what a model is: by its catalogue entry, and by its file if that is here')
    .argument('<model>', 'id of the catalogue, or path of a GGUF file (the first one of a model in parts)')
    .option('--digest', 'compute the SHA-256 of the file, which takes a while for a large one')
    .option('--template', 'print the chat template and nothing else')
    .option('--json', 'print JSON')
    .action(async (name: string, flags: Flags, command: Command) => {
      const named = namedModel(name, config, command)
      if (flags.template === true) {
        const { file } = await readNamed(named, context, command)
        out.write(`${textOf(file.metadata.get('tokenizer.chat_template')) ?? command.error('error: this model has no chat template.', { exitCode: 1 })}\n`)
        return
      }
      const facts = await describe(named, flags, context, command)
      out.write(flags.json === true ? `${JSON.stringify(facts)}\n` : lines(facts))
    })
}

async function describe(named: NamedModel, { digest }: Flags, context: ModelsContext, command: Command) {
  const { entry, path } = named
  const found = path === undefined ? undefined : await readNamed(named, context, command)
  const metadata = found?.file.metadata
  const said = textOf(metadata?.get('general.license'))
  return {
    id: entry?.id ?? null,
    name: textOf(metadata?.get('general.name')) ?? null,
    files: found?.file.files.map((file) => ({ ...file })) ?? [],
    architecture: found?.shape.architecture ?? null,
    parameters: found?.weights.parameters ?? null,
    quantisation: quantisationOf(metadata),
    layers: found?.shape.layers.length ?? null,
    experts: numberOf(metadata, found?.shape.architecture, 'expert_count'),
    contextLength: found?.shape.trainedContext ?? entry?.contextLength ?? null,
    vocabularySize: found?.shape.vocabularySize ?? null,
    /** The catalogue's word counts; that of a file is only told. */
    licence: entry?.licence ?? null,
    licenceInFile: said ?? null,
    openness: entry?.openness ?? null,
    grade: opennessGrade(entry),
    chatTemplate: textOf(metadata?.get('tokenizer.chat_template')) ?? null,
    /** What the catalogue pins. */
    pinnedDigest: entry?.sha256 === undefined ? null : `sha256:${entry.sha256}`,
    /** The same of the parts after the first, in their order. */
    pinnedParts: entry?.parts?.map(({ sha256 }) => `sha256:${sha256}`) ?? null,
    /** Of each file, when it was asked for. */
    digests: digest === true && found !== undefined && path !== undefined && !isEncrypted(path) ? await digestsOf(found.file.files) : null,
  }
}

type Facts = Awaited<ReturnType<typeof describe>>

async function digestsOf(files: readonly { path: string }[]): Promise<string[]> {
  const digests: string[] = []
  // One after the other: it is the disk that takes the time.
  // oxlint-disable-next-line no-await-in-loop -- as said
  for (const { path } of files) digests.push(`sha256:${await sha256OfFile(path, undefined)}`)
  return digests
}

function lines(facts: Facts): string {
  const { files, openness, chatTemplate, digests } = facts
  const size = files.reduce((sum, { bytes }) => sum + bytes, 0)
  const rows: [string, string | undefined][] = [
    ['id', facts.id ?? 'none: it is in no catalogue'],
    ['name', facts.name ?? undefined],
    ['file', files.length === 0 ? 'not here yet' : `${files.map(({ path }) => path).join(', ')} (${sizeText(size)})`],
    ['architecture', facts.architecture ?? undefined],
    ['parameters', facts.parameters === null ? undefined : `${count(facts.parameters)}${facts.experts === null ? '' : `, ${facts.experts} experts`}`],
    ['quantisation', facts.quantisation ?? undefined],
    ['layers', facts.layers?.toString()],
    ['context', facts.contextLength === null ? undefined : `${facts.contextLength} tokens`],
    ['vocabulary', facts.vocabularySize === null ? undefined : `${facts.vocabularySize} tokens`],
    ['licence', facts.licence ?? (facts.licenceInFile === null ? 'unknown' : `unknown; the file says "${facts.licenceInFile}"`)],
    ['openness', openness === null ? facts.grade : `${facts.grade} (published: ${opennessParts(openness)})`],
    ['chat template', files.length === 0 ? undefined : chatTemplate === null ? 'none' : `${chatTemplate.length} characters; --template prints it`],
    ['digest', facts.pinnedDigest === null ? 'none is pinned' : `${facts.pinnedDigest}, as the catalogue pins it`],
    ...(facts.pinnedParts ?? []).map((digest, index): [string, string] => ['', `${digest}, part ${index + 2}`]),
    ...(digests ?? []).map((digest, index): [string, string] => ['', `${digest}, of ${files[index]?.path}`]),
  ]
  return rows.flatMap(([title, text]) => (text === undefined ? [] : [`${title.padEnd(14)}${text}\n`])).join('')
}

function count(parameters: number): string {
  const [divisor, unit] = parameters >= 1e9 ? [1e9, 'billion'] : [1e6, 'million']
  return `${(parameters / divisor).toFixed(parameters / divisor < 10 ? 2 : 0)} ${unit}`
}

function quantisationOf(metadata: ReadonlyMap<string, MetadataValue> | undefined): string | null {
  const type = metadata?.get('general.file_type')
  const name = typeof type === 'number' ? quantisationName(type) : ''
  return name === '' ? null : name
}

function numberOf(metadata: ReadonlyMap<string, MetadataValue> | undefined, architecture: string | undefined, name: string): number | null {
  const value = metadata?.get(`${architecture}.${name}`)
  return typeof value === 'number' && value > 0 ? value : null
}

/** Text of a file, for a terminal: without control characters that would be taken for commands. */
function textOf(value: MetadataValue | undefined): string | undefined {
  // oxlint-disable-next-line no-control-regex -- they are what is meant
  return typeof value === 'string' ? value.replaceAll(/[\u0000-\u0008\u000B-\u001F\u007F-\u009F]/g, '') : undefined
}

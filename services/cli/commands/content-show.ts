import type { Command } from 'commander'
import { ContentError } from '../../shared/content/content-error.ts'
import { type OpenedContent, type OpenedPart, openContent } from '../../shared/content/open-content.ts'
import { readTeamKeyOf } from '../../shared/content/team-key.ts'
import type { AuditReader } from '../audit-reader.ts'
import { misused } from './context.ts'

export interface ContentShowContext {
  /** Throws a StartError. */
  openReader(): Promise<Pick<AuditReader, 'content' | 'close'>>
  /** Folder of the keys; empty: none is set. Throws a ContentError. */
  keyFolder(): Promise<string>
  out: NodeJS.WritableStream
  err: NodeJS.WritableStream
}

interface ShowOptions {
  team: string
  part?: string
  keyFolder?: string
  json?: true
}

/** Adds `content show`. */
export function registerContentShow(content: Command, { openReader, keyFolder, out, err }: ContentShowContext): void {
  content
    .command('show')
    .description("show what was kept of a request, decrypted here with the team's key; reading is recorded")
    .argument('<request-id>', 'x-request-id of the answer; "audit query --json" tells it, too')
    .requiredOption('--team <name>', 'the team whose request it was')
    .option('--part <prompt|answer>', 'only this, byte for byte')
    .option('--key-folder <folder>', 'where the key is (default: gateway.contentKeyFolder)')
    .option('--json', 'print JSON')
    .action(async (requestId: string, { team, part, keyFolder: named, json }: ShowOptions, command: Command) => {
      if (part !== undefined && part !== 'prompt' && part !== 'answer') misused(command, '--part takes "prompt" or "answer".')
      const folder = named ?? (await keyFolder())
      if (folder === '') throw new ContentError('gateway.contentKeyFolder is not set, and no --key-folder given: without the key nothing can be shown.')
      const reader = await openReader()
      let opened: OpenedContent
      try {
        const pieces = await Array.fromAsync(reader.content({ team, requestId }))
        opened = await openContent(pieces, { team, requestId, keyOf: (id) => readTeamKeyOf(folder, id) })
      } finally {
        await reader.close()
      }
      const parts = part === undefined ? (['prompt', 'answer'] as const) : ([part] as const)
      if (json) {
        const told = Object.fromEntries(parts.map((name) => [name, { text: opened[name].bytes.toString(), ...described(opened[name]) }]))
        out.write(`${JSON.stringify({ requestId, team, key: opened.keyId, day: opened.day, ...told })}\n`)
        return
      }
      for (const name of parts) {
        const { bytes, pieces, whole, fingerprint } = opened[name]
        err.write(`${name}: ${bytes.length} bytes in ${pieces} pieces, kept ${opened.day} under ${opened.keyId}, fingerprint ${fingerprint}\n`)
        if (!whole) err.write(`${name}: ITS END IS MISSING: the gateway ended before it was kept, or pieces were removed. There is no record content.kept of it if it never was.\n`)
        out.write(bytes)
        if (part === undefined) out.write('\n')
      }
    })
}

function described({ bytes, ...rest }: OpenedPart): Omit<OpenedPart, 'bytes'> & { length: number } {
  return { length: bytes.length, ...rest }
}

import { readFile } from 'node:fs/promises'
import type { Config } from '../shared/config/schema.ts'
import { parsePodAddress } from '../shared/config/pod-address.ts'
import { FatalStartError } from '../shared/supervision.ts'
import type { OpenaiEngineOptions } from './engines/openai/openai.ts'

const keySetting = 'inferenceWorker.openai.apiKeyFile'

/** The settings of the engine openai. Throws FatalStartError. */
export async function openaiOptions(config: Pick<Config, 'inferenceWorker' | 'origins'>, model: string, path: string): Promise<OpenaiEngineOptions> {
  const { openai, contextLength, stepTimeoutSeconds } = config.inferenceWorker
  const address = parsePodAddress(openai.url)
  if (address === undefined) throw new FatalStartError('inferenceWorker.openai.url must be set, with the engine openai.')
  return {
    model,
    path,
    address,
    kind: openai.kind,
    nameThere: openai.model,
    apiKey: openai.apiKeyFile === '' ? undefined : await readKey(openai.apiKeyFile),
    slots: openai.slots,
    // The default is one for an engine that has to find the memory.
    contextLength: 'inferenceWorker.contextLength' in config.origins ? contextLength : 0,
    startMs: openai.startTimeoutSeconds * 1000,
    firstTokenMs: openai.firstTokenTimeoutSeconds * 1000,
    nextTokenMs: stepTimeoutSeconds * 1000,
  }
}

async function readKey(file: string): Promise<string> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch {
    throw new FatalStartError(`${file} (${keySetting}) can't be read.`)
  }
  const key = text.trim()
  // What a header may hold.
  if (!/^[\x21-\x7e]{1,4096}$/.test(key)) throw new FatalStartError(`${file} (${keySetting}) holds no API key: one line of printable characters without spaces.`)
  return key
}

import { relative } from 'node:path'
import type { Config } from '../config/schema.ts'
import { ContentError } from './content-error.ts'

/** The folder of the teams' keys; throws ContentError when it is where a backup of content would have the keys, too. Empty where it is not set. */
export function contentKeyFolder({ home, gateway, audit }: Pick<Config, 'home' | 'gateway' | 'audit'>): string {
  const folder = gateway.contentKeyFolder
  const within = folder === '' ? undefined : [home, audit.folder, audit.contentFolder].find((other) => other !== '' && !relative(other, folder).startsWith('..'))
  if (within !== undefined) throw new ContentError(`gateway.contentKeyFolder is ${folder}, inside of ${within}. A backup of that would hold keys and content together, so that destroying a key would erase nothing: set it to a folder elsewhere.`)
  return folder
}

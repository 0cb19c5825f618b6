import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { devNull } from 'node:os'
import { join } from 'node:path'
import { normalisedKey, parsePipConfig } from './pip-config-file.ts'

/** What pip's settings say of where packages come from. Credentials may stand in the URLs: never show them. */
export interface PipConfig {
  /** Undefined where nothing sets it: pip's own default applies then. */
  indexUrl: string | undefined
  extraIndexUrls: string[]
  findLinks: string[]
  noIndex: boolean
  certificate: string | undefined
  clientCertificate: string | undefined
  proxy: string | undefined
  trustedHosts: string[]
}

export interface Machine {
  env: NodeJS.ProcessEnv
  platform: NodeJS.Platform
  homeFolder: string
}

/** Sections in the order of their weight. pip reads its own command's; people write their index under any of these. */
const sectionOrder = ['global', 'install', 'download']

/**
 * Reads pip's settings as pip does: the files of configFiles(), a later one over an earlier one; over those PIP_… variables.
 * Within the files a command's section outweighs [global] whichever file it is in. Files that are missing or can't be read count
 * as empty. https://pip.pypa.io/en/stable/topics/configuration/
 */
export async function readPipConfig(machine: Machine, files = configFiles(machine)): Promise<PipConfig> {
  const bySection = new Map(sectionOrder.map((name) => [name, new Map<string, string>()]))
  for (const path of files) {
    const text = await readFile(path, 'utf8').catch(() => '')
    for (const [name, values] of parsePipConfig(text)) {
      for (const [key, value] of values) bySection.get(name)?.set(key, value)
    }
  }
  const environment = Object.entries(machine.env)
    .filter(([name]) => name.startsWith('PIP_'))
    .map(([name, value]): [string, string] => [normalisedKey(name.slice(4)), value ?? ''])
  // An empty value counts as none, and doesn't hide a fuller one of less weight.
  const settings = new Map(
    [...bySection.values(), environment].flatMap((values) => [...values].filter(([, value]) => value.trim() !== '')),
  )
  const list = (key: string): string[] => settings.get(key)?.trim().split(/\s+/) ?? []
  return {
    indexUrl: settings.get('index-url') ?? settings.get('pypi-url'),
    extraIndexUrls: list('extra-index-url'),
    findLinks: list('find-links'),
    noIndex: ['1', 'on', 'yes', 'true', 'y', 't'].includes(settings.get('no-index')?.toLowerCase() ?? ''),
    certificate: settings.get('cert'),
    clientCertificate: settings.get('client-cert'),
    proxy: settings.get('proxy'),
    trustedHosts: list('trusted-host'),
  }
}

/**
 * pip's configuration files on this machine, lightest first: global, user, site (an active virtual environment),
 * PIP_CONFIG_FILE.
 */
export function configFiles({ env, platform, homeFolder }: Machine): string[] {
  const named = env['PIP_CONFIG_FILE'] ?? ''
  if (named === devNull || named === '/dev/null') return []
  const global =
    platform === 'darwin' ? [join('/Library/Application Support', 'pip/pip.conf')] : [...xdgFolders(env), '/etc/pip.conf']
  const environment = [env['VIRTUAL_ENV'], env['CONDA_PREFIX']].find((folder) => folder !== undefined && folder !== '')
  return [
    ...global,
    // pip leaves the user's own files out once a file is named that exists.
    ...(named !== '' && existsSync(named) ? [] : userFiles({ env, platform, homeFolder })),
    ...(environment === undefined ? [] : [join(environment, 'pip.conf')]),
    ...(named === '' ? [] : [named]),
  ]
}

function userFiles({ env, platform, homeFolder }: Machine): string[] {
  const legacy = join(homeFolder, '.pip/pip.conf')
  const macFolder = join(homeFolder, 'Library/Application Support/pip')
  if (platform === 'darwin')
    return [legacy, existsSync(macFolder) ? join(macFolder, 'pip.conf') : join(homeFolder, '.config/pip/pip.conf')]
  const configHome = env['XDG_CONFIG_HOME'] ?? ''
  return [legacy, join(configHome === '' ? join(homeFolder, '.config') : configHome, 'pip/pip.conf')]
}

function xdgFolders(env: NodeJS.ProcessEnv): string[] {
  const folders = env['XDG_CONFIG_DIRS'] ?? ''
  return (folders === '' ? '/etc/xdg' : folders)
    .split(':')
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, 'pip/pip.conf'))
}

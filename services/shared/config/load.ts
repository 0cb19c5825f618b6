import { homedir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import { checkValue, isMap } from './check-value.ts'
import { ConfigError, type Problem, pathText } from './config-error.ts'
import { crossCheck, type ServiceName } from './cross-check.ts'
import { type Environment, readEnvironment } from './environment.ts'
import { type Field, fieldsOf } from './fields.ts'
import type { Setting } from './layer.ts'
import { type Overrides, readOverrides } from './overrides.ts'
import { type Config, configSchema, type Settings } from './schema.ts'
import { resolveTracesUrl } from './traces-url.ts'
import { readYamlFile } from './yaml-file.ts'

export { ConfigError } from './config-error.ts'
export type { Config, Settings } from './schema.ts'

export interface LoadOptions {
  env: Environment
  /**
   * Configuration file, which must exist. Default: INTRAMUROS_CONFIG (must exist too), else intramuros.yaml in the state
   * folder.
   */
  file?: string | undefined
  /** Values that win over variables, which win over the file: command-line options, or what the launcher found out. */
  overrides?: Overrides
  /** The only service that will listen on this machine; the ports of the others are then not compared with its own. */
  service?: ServiceName
}

/**
 * Reads and checks the whole configuration. The result is frozen. Throws a ConfigError that names every problem of the file,
 * the variables and the overrides at once.
 */
export function loadConfig({ env, file: namedFile, overrides = {}, service }: LoadOptions): Config {
  const home = stateFolder(env)
  const named = namedFile ?? (env['INTRAMUROS_CONFIG'] || undefined)
  const file = named === undefined ? join(home, 'intramuros.yaml') : absolute(named, env)

  const fields = fieldsOf(configSchema)
  const fileLayer = readYamlFile(file, named !== undefined, configSchema, fields)
  const layers = [fileLayer, readEnvironment(env, fields), readOverrides(overrides, fields)]

  const problems: Problem[] = []
  const broken = new Set<string>()
  const effective = new Map<string, Setting>()
  for (const layer of layers) {
    problems.push(...layer.problems)
    for (const [path, setting] of layer.settings) {
      const found = checkSetting(setting)
      problems.push(...found)
      if (found.length > 0) broken.add(path)
      else effective.set(path, setting)
    }
  }

  const settings: unknown = assemble(fields, effective)
  if (!isSettings(settings, fields)) throw new Error("a default is outside its own setting's bounds")
  const originOf = (path: string, at: readonly (string | number)[] = []): string => effective.get(path)?.originOf(at) ?? 'default'
  // What an unreadable file sets is unknown, and so whether settings go together.
  if (fileLayer.readable) problems.push(...crossCheck({ settings, originOf, isSound: (path) => !broken.has(path), service }))
  const traces = resolveTracesUrl(settings.telemetry.endpoint, env)
  problems.push(...traces.problems)
  if (problems.length > 0) throw new ConfigError(problems.toSorted(byPlace))

  return deepFreeze({
    ...settings,
    home,
    file,
    origins: Object.fromEntries([...effective.keys()].map((path) => [path, originOf(path)])),
    telemetry: { ...settings.telemetry, tracesUrl: traces.url },
    inferenceWorker: {
      ...settings.inferenceWorker,
      openai: { ...settings.inferenceWorker.openai, apiKeyFile: folder(settings.inferenceWorker.openai.apiKeyFile, '', env) },
    },
    modelEncryption: {
      ...settings.modelEncryption,
      keyFile: folder(settings.modelEncryption.keyFile, '', env),
      memoryFolder: folder(settings.modelEncryption.memoryFolder, '', env),
    },
    tls: { ...settings.tls, folder: folder(settings.tls.folder, join(home, 'tls'), env) },
    gateway: { ...settings.gateway, contentKeyFolder: folder(settings.gateway.contentKeyFolder, '', env) },
    audit: {
      ...settings.audit,
      folder: folder(settings.audit.folder, join(home, 'audit'), env),
      keyFolder: folder(settings.audit.keyFolder, join(home, 'audit-key'), env),
      // Processes that share a database need a folder that they share, too: nobody but the operator knows one.
      contentFolder: folder(settings.audit.contentFolder, settings.audit.postgres.url === '' ? join(home, 'content') : '', env),
      keyFile: folder(settings.audit.keyFile, '', env),
      postgres: {
        ...settings.audit.postgres,
        passwordFile: folder(settings.audit.postgres.passwordFile, '', env),
        caFile: folder(settings.audit.postgres.caFile, '', env),
      },
      witnesses: settings.audit.witnesses.map((witness) => withPaths(witness, ['caFile'], env)),
      anchors: settings.audit.anchors.map((anchor) => withPaths(anchor, ['folder', 's3AccessKeyFile', 's3SecretKeyFile', 'caFile'], env)),
    },
  })
}

/**
 * The state folder, absolute: INTRAMUROS_HOME, else "intramuros" in XDG_STATE_HOME, else in ~/.local/state.
 * https://specifications.freedesktop.org/basedir-spec/latest/ says to ignore a relative XDG_STATE_HOME.
 */
export function stateFolder(env: Environment): string {
  const own = env['INTRAMUROS_HOME'] || undefined
  if (own !== undefined) return absolute(own, env)
  const xdg = env['XDG_STATE_HOME'] ?? ''
  return join(isAbsolute(xdg) ? xdg : join(userFolder(env), '.local', 'state'), 'intramuros')
}

function userFolder(env: Environment): string {
  return env['HOME'] || homedir()
}

function absolute(path: string, env: Environment): string {
  return path === '~' || path.startsWith('~/') ? join(userFolder(env), path.slice(1)) : resolve(path)
}

function folder(path: string, whenEmpty: string, env: Environment): string {
  return path === '' ? whenEmpty : absolute(path, env)
}

/** An entry of a list, with those of its fields that are paths absolute. */
function withPaths<T extends object>(entry: T, names: readonly (keyof T)[], env: Environment): T {
  const paths = names.flatMap((name) => (typeof entry[name] === 'string' ? [[name, folder(entry[name], '', env)] as const] : []))
  return Object.assign({ ...entry }, Object.fromEntries<string>(paths))
}

function checkSetting({ field, value, originOf }: Setting): Problem[] {
  return checkValue(field.schema, value).map(({ at, atKey, found, allowed, suggestion }) => ({
    path: pathText([...field.segments, ...at]),
    source: originOf(at, atKey),
    found,
    allowed,
    suggestion,
  }))
}

/** The file's problems in the order of its lines, then the others. */
function byPlace(one: Problem, other: Problem): number {
  const [a, b] = [one, other].map(({ source }) => /:(\d+):(\d+)$/.exec(source)?.slice(1).map(Number))
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined)
  return (a[0] ?? 0) - (b[0] ?? 0) || (a[1] ?? 0) - (b[1] ?? 0)
}

/** The tree of all settings: what was set, and defaults for the rest. */
function assemble(fields: readonly Field[], set: ReadonlyMap<string, Setting>): Record<string, unknown> {
  const tree: Record<string, unknown> = {}
  for (const { path, segments, schema } of fields) {
    let section = tree
    for (const segment of segments.slice(0, -1)) {
      const below = isMap(section[segment]) ? section[segment] : {}
      section[segment] = below
      section = below
    }
    section[segments.at(-1) ?? path] = structuredClone(set.get(path)?.value ?? schema.default)
  }
  return tree
}

/** Every setting is there and as its schema says, which is what the type says. */
function isSettings(tree: unknown, fields: readonly Field[]): tree is Settings {
  return fields.every(({ segments, schema }) => {
    let value = tree
    for (const segment of segments) value = isMap(value) ? value[segment] : undefined
    return checkValue(schema, value).length === 0
  })
}

function deepFreeze<T extends object>(value: T): T {
  for (const part of Object.values(value)) if (typeof part === 'object' && part !== null) deepFreeze(part)
  return Object.freeze(value)
}

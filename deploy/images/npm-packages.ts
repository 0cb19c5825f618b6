import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Type } from 'typebox'
import { Compile } from 'typebox/compile'

/** A package of npm as it lies in node_modules. */
export interface NpmPackage {
  /** Its folder in the project: "node_modules/pg", or "node_modules/a/node_modules/b". */
  folder: string
  name: string
  version: string
  /** SPDX expression, as the package says; "NOASSERTION" when it says none. */
  licence: string
  /** Of the archive in the registry, as package-lock.json has it. */
  integrity: string
}

const manifestCheck = Compile(
  Type.Object({
    version: Type.String(),
    license: Type.Optional(Type.Unknown()),
    dependencies: Type.Optional(Type.Record(Type.String(), Type.String())),
    optionalDependencies: Type.Optional(Type.Record(Type.String(), Type.String())),
    peerDependencies: Type.Optional(Type.Record(Type.String(), Type.String())),
    peerDependenciesMeta: Type.Optional(Type.Record(Type.String(), Type.Object({ optional: Type.Optional(Type.Boolean()) }))),
  }),
)
const lockCheck = Compile(Type.Object({ packages: Type.Record(Type.String(), Type.Object({ integrity: Type.Optional(Type.String()) })) }))

/** Types are for those who write programs. */
const needless = (name: string): boolean => name.startsWith('@types/')

/** The packages that these need, with all that those need in turn: not what is optional, but for `natives`. */
export function npmClosure(root: string, names: readonly string[], natives: readonly string[]): NpmPackage[] {
  const lock: unknown = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  if (!lockCheck.Check(lock)) throw new Error('package-lock.json is none')
  const found = new Map<string, NpmPackage>()
  const waiting = names.map((name) => ({ name, from: '' }))
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { name, from } = next
    const folder = locate(root, from, name)
    if (folder === undefined) throw new Error(`the package ${name}, which ${from === '' ? 'the sources' : from} need, is not installed`)
    if (found.has(folder)) continue
    const manifest: unknown = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'))
    if (!manifestCheck.Check(manifest)) throw new Error(`${folder}/package.json is none`)
    const { version, license, dependencies = {}, optionalDependencies = {}, peerDependencies = {}, peerDependenciesMeta = {} } = manifest
    found.set(folder, { folder, name, version, licence: licenceOf(license), integrity: lock.packages[folder]?.integrity ?? '' })
    const peers = Object.keys(peerDependencies).filter((peer) => peerDependenciesMeta[peer]?.optional !== true)
    const needed = [...Object.keys(dependencies).filter((one) => !(one in optionalDependencies)), ...Object.keys(optionalDependencies).filter((one) => natives.includes(one)), ...peers.filter((peer) => peer !== 'typescript')]
    for (const one of needed) if (!needless(one)) waiting.push({ name: one, from: folder })
  }
  return [...found.values()].toSorted((a, b) => (a.folder < b.folder ? -1 : 1))
}

/** As Node.js looks it up. */
function locate(root: string, from: string, name: string): string | undefined {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
    const place = folder === '' ? `node_modules/${name}` : `${folder}/node_modules/${name}`
    if (existsSync(join(root, place, 'package.json'))) return place
    if (folder === '') return undefined
  }
}

function licenceOf(license: unknown): string {
  if (typeof license === 'string') return license
  if (typeof license === 'object' && license !== null && 'type' in license && typeof license.type === 'string') return license.type
  return 'NOASSERTION'
}

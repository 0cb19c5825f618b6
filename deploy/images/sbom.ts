import { createHash } from 'node:crypto'
import type { DebianPackage } from './debian-packages.ts'
import type { NpmPackage } from './npm-packages.ts'

export interface SbomParts {
  /** Of the image, or whatever it is. */
  name: string
  /** Of component, in the words of CycloneDX. */
  type: 'container' | 'application'
  version: string
  /** Version of Node.js. */
  node: string
  debian: readonly DebianPackage[]
  npm: readonly NpmPackage[]
}

/** A bill of materials in CycloneDX 1.6: exactly what is in it. The same parts make the same bytes, so it has no time, and a serial number of its content. */
export function sbomOf({ name: image, type, version, node, debian, npm }: SbomParts): string {
  const components = [
    ...debian.map((one) => ({
      type: 'library',
      'bom-ref': `pkg:deb/debian/${one.name}@${encodeURIComponent(one.version)}?arch=amd64&distro=debian-12`,
      name: one.name,
      version: one.version,
      purl: `pkg:deb/debian/${one.name}@${encodeURIComponent(one.version)}?arch=amd64&distro=debian-12`,
      hashes: [{ alg: 'SHA-256', content: one.sha256 }],
    })),
    { type: 'platform', 'bom-ref': `pkg:generic/node@${node}`, name: 'node', version: node, purl: `pkg:generic/node@${node}`, licenses: [{ license: { id: 'MIT' } }] },
    ...npm.map(({ folder, name, version: own, licence, integrity }) => ({
      type: 'library',
      // The same package may lie in several folders.
      'bom-ref': `${purlOf(name, own)}#${folder}`,
      name,
      version: own,
      purl: purlOf(name, own),
      ...(licence === 'NOASSERTION' ? {} : { licenses: [/^[A-Za-z0-9.+-]+$/.test(licence) ? { license: { id: licence } } : { expression: licence }] }),
      ...hashesOf(integrity),
    })),
  ]
  const root = { type, 'bom-ref': `intramuros-${image}`, name: `intramuros-${image}`, version, licenses: [{ license: { id: 'Apache-2.0' } }] }
  const digest = createHash('sha256').update(JSON.stringify([root, components])).digest('hex')
  const serial = `urn:uuid:${digest.slice(0, 8)}-${digest.slice(8, 12)}-4${digest.slice(13, 16)}-8${digest.slice(17, 20)}-${digest.slice(20, 32)}`
  const dependencies = [{ ref: root['bom-ref'], dependsOn: components.map((one) => one['bom-ref']) }]
  return `${JSON.stringify({ bomFormat: 'CycloneDX', specVersion: '1.6', serialNumber: serial, version: 1, metadata: { component: root }, components, dependencies }, undefined, 2)}\n`
}

function purlOf(name: string, version: string): string {
  return `pkg:npm/${name.replace('@', '%40')}@${encodeURIComponent(version)}`
}

/** "sha512-<base64>", as npm writes it. */
function hashesOf(integrity: string): { hashes?: { alg: string; content: string }[] } {
  const [, base64] = /^sha512-([A-Za-z0-9+/=]+)$/.exec(integrity) ?? []
  return base64 === undefined ? {} : { hashes: [{ alg: 'SHA-512', content: Buffer.from(base64, 'base64').toString('hex') }] }
}

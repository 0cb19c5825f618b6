import Type from 'typebox'
import { Value } from 'typebox/value'

/** Accept header of a client that reads both forms, PEP 691. */
export const acceptSimple = 'application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1'

/** A file that an index or a page of links offers. */
export interface OfferedFile {
  name: string
  url: URL
  /** Lower-case hexadecimal, where the index tells it. */
  sha256: string | undefined
  size: number | undefined
}

const JsonListing = Type.Object({
  files: Type.Array(
    Type.Object({
      filename: Type.String(),
      url: Type.String(),
      hashes: Type.Optional(Type.Record(Type.String(), Type.String())),
      size: Type.Optional(Type.Union([Type.Integer({ minimum: 0 }), Type.Null()])),
    }),
  ),
})

/**
 * Files in a project page of the simple API: JSON (PEP 691) or HTML (PEP 503), by its content type. Undefined when it is
 * neither.
 */
export function parseListing(body: string, contentType: string, base: URL): OfferedFile[] | undefined {
  return /^application\/(vnd\.pypi\.simple\.v\d+\+)?json/i.test(contentType) ? parseJson(body, base) : parseLinks(body, base)
}

function parseJson(body: string, base: URL): OfferedFile[] | undefined {
  let listing: unknown
  try {
    listing = JSON.parse(body)
  } catch {
    return undefined
  }
  if (!Value.Check(JsonListing, listing)) return undefined
  return listing.files
    .filter(({ url }) => URL.canParse(url, base))
    .map(({ filename, url, hashes, size }) => ({
      name: filename,
      url: new URL(url, base),
      sha256: hashes?.['sha256']?.toLowerCase(),
      size: size ?? undefined,
    }))
}

/** The links of an HTML page: `<a href="…/name.whl#sha256=…">`, relative to <base> if there is one. */
export function parseLinks(html: string, base: URL): OfferedFile[] {
  const withoutComments = html.replaceAll(/<!--[\s\S]*?-->/g, '')
  const declared = attribute(/<base\s[^>]*>/i.exec(withoutComments)?.[0] ?? '')
  const root = declared !== undefined && URL.canParse(declared, base) ? new URL(declared, base) : base
  const files: OfferedFile[] = []
  for (const [tag] of withoutComments.matchAll(/<a\s[^>]*>/gi)) {
    const href = attribute(tag)
    if (href === undefined || !URL.canParse(href, root)) continue
    const url = new URL(href, root)
    const [, sha256] = /(?:^#|&)sha256=([0-9a-f]{64})/i.exec(url.hash) ?? []
    url.hash = ''
    files.push({ name: fileName(url), url, sha256: sha256?.toLowerCase(), size: undefined })
  }
  return files
}

/** Last part of a URL's path, decoded. */
export function fileName(url: URL): string {
  const last = url.pathname.split('/').at(-1) ?? ''
  try {
    return decodeURIComponent(last)
  } catch {
    return last
  }
}

function attribute(tag: string): string | undefined {
  const [, double, single, bare] = /\shref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))/i.exec(tag) ?? []
  return (double ?? single ?? bare)
    ?.replaceAll(/&(amp|lt|gt|quot|#39|#x27);/gi, (whole, name: string) => entities[name.toLowerCase()] ?? whole)
    .trim()
}

const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'", '#x27': "'" }

/** PEP 503: runs of `-`, `_` and `.` are one hyphen. */
export function normalisedProject(name: string): string {
  return name.toLowerCase().replaceAll(/[-_.]+/g, '-')
}

/** The wheel of this project and version among the files; one for any platform first, as each holds the same model. */
export function chooseWheel(files: readonly OfferedFile[], project: string, version: string): OfferedFile | undefined {
  const wheels = files.filter(({ name }) => {
    // PEP 427: name-version(-build)?-python-abi-platform.whl
    const [, wheelName, wheelVersion] =
      /^([A-Za-z0-9._]+)-([A-Za-z0-9._!+]+)(?:-\d[A-Za-z0-9._]*)?-[A-Za-z0-9._]+-[A-Za-z0-9._]+-[A-Za-z0-9._]+\.whl$/.exec(
        name,
      ) ?? []
    return (
      wheelName !== undefined &&
      normalisedProject(wheelName) === normalisedProject(project) &&
      wheelVersion === version.replaceAll('-', '_')
    )
  })
  return wheels.find(({ name }) => name.endsWith('-none-any.whl')) ?? wheels[0]
}

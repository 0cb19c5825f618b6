/** Sections of a pip.conf: section → key → value. Keys are lower-case with hyphens, as pip normalises them. */
export type PipSections = Map<string, Map<string, string>>

/**
 * Reads the dialect of Python's configparser.RawConfigParser, which pip uses: `key = value` or `key: value`, comments only on
 * lines of their own, values go on in indented lines (joined here by newlines). The npm package `ini` reads another dialect: it
 * cuts values at `;` and `#` and takes the URLs of an indented list for keys.
 */
export function parsePipConfig(text: string): PipSections {
  const sections: PipSections = new Map()
  let section: Map<string, string> | undefined
  let key: string | undefined
  let keyIndent = 0
  for (const line of text.replace(/^\uFEFF/, '').split(/\r?\n/)) {
    const trimmed = line.trim()
    if (trimmed === '' || trimmed.startsWith('#') || trimmed.startsWith(';')) continue
    const indent = line.length - line.trimStart().length
    if (section !== undefined && key !== undefined && indent > keyIndent) {
      section.set(key, `${section.get(key) ?? ''}\n${trimmed}`.trim())
      continue
    }
    const [, name] = /^\[(.+)\]/.exec(trimmed) ?? []
    if (name !== undefined) {
      section = sections.get(name) ?? new Map<string, string>()
      sections.set(name, section)
      key = undefined
      continue
    }
    const [, option, value] = /^(.*?)\s*[=:]\s*(.*)$/.exec(trimmed) ?? []
    if (section === undefined || option === undefined) continue
    key = normalisedKey(option)
    keyIndent = indent
    section.set(key, value ?? '')
  }
  return sections
}

/** `PIP_INDEX_URL`'s rest, `index_url` and `--index-url` are one key. */
export function normalisedKey(name: string): string {
  return name.toLowerCase().replaceAll('_', '-').replace(/^--/, '')
}

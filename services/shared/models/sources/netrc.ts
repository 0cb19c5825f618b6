import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface Login {
  user: string
  password: string
}

/** Logins by host name; `default` stands for every other host. */
export type Netrc = ReadonlyMap<string, Login>

/** The file that NETRC names, else ~/.netrc or ~/_netrc, as pip reads it. Empty when there is none. */
export async function readNetrc(env: NodeJS.ProcessEnv, homeFolder: string): Promise<Netrc> {
  const named = env['NETRC'] ?? ''
  for (const path of named === '' ? [join(homeFolder, '.netrc'), join(homeFolder, '_netrc')] : [named]) {
    const text = await readFile(path, 'utf8').catch(() => undefined)
    if (text !== undefined) return parseNetrc(text)
  }
  return new Map()
}

/**
 * The format of ftp(1): tokens `machine NAME login NAME password TEXT`, in any layout; comments from `#` to the end of the
 * line.
 */
export function parseNetrc(text: string): Netrc {
  const logins = new Map<string, Login>()
  // A macro runs from `macdef` to the next empty line.
  const withoutMacros = text.replaceAll(/^\s*macdef[\s\S]*?(?:\n\s*\n|$(?![\s\S]))/gm, '\n')
  const tokens = withoutMacros.replaceAll(/(^|\s)#.*$/gm, '$1').match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? []
  let current: Login | undefined
  for (let at = 0; at < tokens.length; at += 1) {
    const token = tokens[at]
    const next = unquote(tokens[at + 1] ?? '')
    if (token === 'machine' || token === 'default') {
      current = { user: '', password: '' }
      const host = token === 'default' ? 'default' : next.toLowerCase()
      if (!logins.has(host)) logins.set(host, current)
      if (token === 'machine') at += 1
    } else if (token === 'login' || token === 'user') {
      if (current !== undefined) current.user = next
      at += 1
    } else if (token === 'password') {
      if (current !== undefined) current.password = next
      at += 1
    } else if (token === 'account') {
      at += 1
    }
  }
  return logins
}

function unquote(token: string): string {
  return token.startsWith('"') ? token.slice(1, -1).replaceAll(/\\(.)/g, '$1') : token
}

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parsePipConfig } from './pip-config-file.ts'
import { configFiles, readPipConfig } from './pip-config.ts'

describe('a pip.conf is read as Python reads it', () => {
  test.each([
    [
      'equals sign, colon, spaces',
      '[global]\nindex-url=https://a/b?c=d\ncert : /x\n',
      { 'index-url': 'https://a/b?c=d', cert: '/x' },
    ],
    ['a # or ; inside a value', '[global]\nindex-url = https://u:p#;@a/ \n', { 'index-url': 'https://u:p#;@a/' }],
    ['comments and empty lines', '# x\n; y\n\n[global]\n  # z\nindex-url = a\n', { 'index-url': 'a' }],
    [
      'indented lists',
      '[global]\nfind-links =\n    /a\n    # not this\n    https://b/c=d\ncert = /x\n',
      { 'find-links': '/a\nhttps://b/c=d', cert: '/x' },
    ],
    ['keys by their normal names', '[global]\nIndex_Url = a\n--cert = b\n', { 'index-url': 'a', cert: 'b' }],
    ['a byte order mark and Windows line ends', '\uFEFF[global]\r\nindex-url = a\r\n', { 'index-url': 'a' }],
    ['a section in two parts', '[global]\na = 1\n[other]\na = 3\n[global]\nb = 2\n', { a: '1', b: '2' }],
    ['lines outside sections', 'a = 1\n[global]\nb = 2\n', { b: '2' }],
  ])('%s', (_name, text, expected) => {
    expect(Object.fromEntries(parsePipConfig(text).get('global') ?? [])).toEqual(expected)
  })
})

describe('the files', () => {
  const homeFolder = '/home/me'

  test('on Linux', () => {
    expect(configFiles({ env: {}, platform: 'linux', homeFolder })).toEqual([
      '/etc/xdg/pip/pip.conf',
      '/etc/pip.conf',
      '/home/me/.pip/pip.conf',
      '/home/me/.config/pip/pip.conf',
    ])
    const env = { XDG_CONFIG_DIRS: '/a:/b', XDG_CONFIG_HOME: '/c', VIRTUAL_ENV: '/venv', PIP_CONFIG_FILE: '/nowhere/pip.conf' }
    expect(configFiles({ env, platform: 'linux', homeFolder })).toEqual([
      '/a/pip/pip.conf',
      '/b/pip/pip.conf',
      '/etc/pip.conf',
      '/home/me/.pip/pip.conf',
      '/c/pip/pip.conf',
      '/venv/pip.conf',
      '/nowhere/pip.conf',
    ])
  })

  test('on macOS', () => {
    expect(configFiles({ env: {}, platform: 'darwin', homeFolder })).toEqual([
      '/Library/Application Support/pip/pip.conf',
      '/home/me/.pip/pip.conf',
      '/home/me/.config/pip/pip.conf',
    ])
  })

  test('are none when the null device is named', () => {
    expect(configFiles({ env: { PIP_CONFIG_FILE: '/dev/null' }, platform: 'linux', homeFolder })).toEqual([])
  })
})

describe('the settings', () => {
  let root: string

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'intramuros-pip-'))
  })

  afterEach(async () => {
    await rm(root, { recursive: true })
  })

  async function put(path: string, text: string): Promise<string> {
    const full = join(root, path)
    await mkdir(dirname(full), { recursive: true })
    await writeFile(full, text)
    return full
  }

  /** XDG_CONFIG_DIRS stands for the machine's own files, of which /etc/pip.conf plays no part. */
  async function read(env: NodeJS.ProcessEnv): ReturnType<typeof readPipConfig> {
    const machine = {
      env: { XDG_CONFIG_DIRS: join(root, 'xdg'), ...env },
      platform: 'linux',
      homeFolder: join(root, 'home'),
    } as const
    return await readPipConfig(
      machine,
      configFiles(machine).filter((path) => path.startsWith(root)),
    )
  }

  test('of a later file outweigh those of an earlier one, the environment outweighs all', async () => {
    await put('xdg/pip/pip.conf', '[global]\nindex-url = global\nproxy = global\ncert = global\nclient-cert = global\n')
    await put('home/.config/pip/pip.conf', '[global]\nindex-url = user\nproxy = user\ncert = user\n')
    await put('venv/pip.conf', '[global]\nindex-url = site\nproxy = site\n')
    const env = { VIRTUAL_ENV: join(root, 'venv'), PIP_INDEX_URL: 'environment' }
    expect(await read(env)).toMatchObject({
      indexUrl: 'environment',
      proxy: 'site',
      certificate: 'user',
      clientCertificate: 'global',
    })
  })

  test("of a command's section outweigh [global], whichever file they are in", async () => {
    await put('xdg/pip/pip.conf', '[download]\nindex-url = download\n[install]\nproxy = install\nindex-url = install\n')
    await put('home/.config/pip/pip.conf', '[global]\nindex-url = user\nproxy = user\n')
    expect(await read({})).toMatchObject({ indexUrl: 'download', proxy: 'install' })
  })

  test('of a named file outweigh the machine, and the own files are left out', async () => {
    await put('home/.config/pip/pip.conf', '[global]\nindex-url = user\nproxy = user\n')
    const named = await put('named.conf', '[global]\nindex-url = named\n')
    expect(await read({ PIP_CONFIG_FILE: named })).toMatchObject({ indexUrl: 'named', proxy: undefined })
  })

  test('are lists and switches where pip has them so; empty ones count as none', async () => {
    await put(
      'home/.pip/pip.conf',
      '[global]\nindex-url = user\nextra-index-url =\n  https://a\n  https://b\ntrusted-host = x y\nno-index = no\n',
    )
    expect(await read({ PIP_INDEX_URL: '', PIP_FIND_LINKS: '/a  /b', PIP_NO_INDEX: 'True' })).toEqual({
      indexUrl: 'user',
      extraIndexUrls: ['https://a', 'https://b'],
      findLinks: ['/a', '/b'],
      noIndex: true,
      certificate: undefined,
      clientCertificate: undefined,
      proxy: undefined,
      trustedHosts: ['x', 'y'],
    })
    expect((await read({})).noIndex).toBe(false)
  })
})

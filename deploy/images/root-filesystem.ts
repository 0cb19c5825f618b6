import { chmod, cp, mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { runTool } from '../run-tool.ts'
import { fetchDebian, type DebianPackage } from './debian-packages.ts'
import type { ImageDefinition } from './image-list.ts'
import type { NpmPackage } from './npm-packages.ts'
import { javaScriptName, type Traced } from './trace-sources.ts'

/** What goes into an image; each of the three becomes a layer, what changes least first. */
export interface ImageParts {
  debian: readonly DebianPackage[]
  npm: readonly NpmPackage[]
  sources: Traced
}

/** Who runs in it: nobody that a machine has. */
export const user = { uid: 65_532, gid: 65_532, name: 'intramuros' } as const
export const nodePath = '/usr/local/bin/node'
/** Where packages and sources lie. */
export const home = '/app'

/** The entrypoint of an image. */
export function commandOf({ entries: [entry = ''] }: ImageDefinition): string[] {
  return [nodePath, `${home}/${javaScriptName(entry)}`]
}

/** The libraries, Node.js, and who runs: the same for many images. */
export async function layOutBase(root: string, { debian }: Pick<ImageParts, 'debian'>, { node, cache }: { node: string; cache: string }): Promise<void> {
  await mkdir(root, { recursive: true })
  for (const one of debian) {
    // oxlint-disable-next-line no-await-in-loop -- a handful, in their order
    await runTool('dpkg-deb', ['-x', await fetchDebian(one, cache), root])
  }
  // What is for people, and what is for other architectures of the same machine.
  for (const needless of ['usr/share/lintian', 'usr/share/man', 'usr/share/locale', 'usr/share/bug', 'usr/share/gcc', 'usr/lib/x86_64-linux-gnu/gconv', 'usr/lib/x86_64-linux-gnu/audit']) {
    // oxlint-disable-next-line no-await-in-loop -- a handful
    await rm(join(root, needless), { recursive: true, force: true })
  }
  await dropDocuments(join(root, 'usr/share/doc'))
  await mkdir(join(root, dirname(nodePath)), { recursive: true })
  await cp(node, join(root, nodePath), { dereference: true })
  await chmod(join(root, nodePath), 0o755)
  await mkdir(join(root, 'etc'), { recursive: true })
  await writeFile(join(root, 'etc/passwd'), `root:x:0:0:root:/:/nonexistent\n${user.name}:x:${user.uid}:${user.gid}:Intramuros:/var/lib/intramuros:/nonexistent\n`)
  await writeFile(join(root, 'etc/group'), `root:x:0:\n${user.name}:x:${user.gid}:\n`)
  // Where volumes are mounted.
  for (const folder of ['tmp', 'dev', 'proc', 'sys', 'models', 'var/lib/intramuros', 'etc/intramuros/tls']) {
    // oxlint-disable-next-line no-await-in-loop -- a handful
    await mkdir(join(root, folder), { recursive: true })
  }
}

/** Licences stay. */
async function dropDocuments(folder: string): Promise<void> {
  const files = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  await Promise.all(files.filter((file) => !file.isDirectory() && file.name !== 'copyright').map((file) => rm(join(file.parentPath, file.name), { force: true })))
}

/** The packages of npm, in the folder `app`, without what only people and compilers read. */
export async function layOutPackages(app: string, project: string, { npm }: Pick<ImageParts, 'npm'>): Promise<void> {
  await mkdir(join(app, 'node_modules'), { recursive: true })
  for (const { folder } of npm) {
    // oxlint-disable-next-line no-await-in-loop -- one at a time: some are large
    await cp(join(project, folder), join(app, folder), { recursive: true, dereference: true, filter: (source) => isNeeded(source.slice(join(project, folder).length)) })
  }
}

/** `path` within a package. Its own node_modules are packages of their own. */
function isNeeded(path: string): boolean {
  if (/(^|\/)node_modules(\/|$)/.test(path)) return false
  return !/(\.map|\.d\.[cm]?ts|\.[cm]?ts|\.md|\.markdown|\.flow)$/i.test(path) || /licen[cs]e|notice/i.test(path)
}

/** Our own sources, as JavaScript, in the folder `app`. */
export async function layOutSources(app: string, project: string, { sources }: Pick<ImageParts, 'sources'>): Promise<void> {
  for (const [name, code] of sources.modules) {
    const file = join(app, name)
    // oxlint-disable-next-line no-await-in-loop -- small files
    await mkdir(dirname(file), { recursive: true })
    // oxlint-disable-next-line no-await-in-loop -- small files
    await writeFile(file, code)
  }
  for (const name of sources.files) {
    // oxlint-disable-next-line no-await-in-loop -- small files
    await cp(join(project, name), join(app, name))
  }
}

/** The command line as a program of the image. */
export async function layOutCommandLine(root: string): Promise<void> {
  // There is no shell: the kernel itself follows the first line.
  const command = join(root, home, 'intramuros')
  await writeFile(command, `#!${nodePath}\nimport './services/cli/main.js'\n`)
  await chmod(command, 0o755)
  await mkdir(join(root, 'usr/local/bin'), { recursive: true })
  await symlink(`${home}/intramuros`, join(root, 'usr/local/bin/intramuros'))
}

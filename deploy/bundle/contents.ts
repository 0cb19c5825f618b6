import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { buildImage, imagesNamed, project } from '../images/build-image.ts'
import type { ImageDefinition } from '../images/image-list.ts'
import { toolOutput } from '../run-tool.ts'
import { documentsFrom } from './documents.ts'
import { layOutTools } from './lay-out-tools.ts'
import { indexOf } from './oci-layout.ts'
import { packageChart, readChart } from './package-chart.ts'

export interface ContentsOptions {
  /** Folder for what is made. */
  work: string
  /** Names of images; undefined: all. */
  imageNames: readonly string[] | undefined
  /** Folder with images that were built before; undefined: they are built. */
  builtImages: string | undefined
  /** Model files. */
  models: readonly string[]
  version: string
  say(line: string): void
}

/** What a person begins to read with; what these link to comes along. */
const documents = ['docs/install.md', 'docs/kubernetes.md', 'docs/images.md', 'docs/isolation.md', 'docs/audit.md', 'docs/operations.md', 'docs/configuration.md', 'docs/models.md']
const chartFolder = 'charts/intramuros'
const imagePrefix = 'localhost/intramuros'

/** Why there can be no bundle of this, told for a person. */
export class ContentsError extends Error {
  override readonly name = 'ContentsError'
}

/** Makes what goes into a bundle: by its path there, where it is now. Throws ContentsError. */
export async function bundleContents({ work, imageNames, builtImages, models, version, say }: ContentsOptions): Promise<Map<string, string>> {
  const content = new Map<string, string>()
  const add = (path: string, file: string): void => {
    if (content.has(path)) throw new ContentsError(`There are two files for ${path} in the bundle.`)
    content.set(path, file)
  }
  for (const model of models) {
    if (!existsSync(model)) throw new ContentsError(`There is no file ${model}.`)
    add(`models/${basename(model)}`, model)
  }
  for (const image of imagesNamed(imageNames)) {
    // oxlint-disable-next-line no-await-in-loop -- one at a time: they are large
    const { file, sbom, told } = builtImages === undefined ? await built(image, join(work, 'images'), version) : await found(image, builtImages, version)
    say(told)
    add(`images/${image.name}.tar`, file)
    add(`sbom/${image.name}.cdx.json`, sbom)
  }
  const chart = await readChart(join(project, chartFolder))
  if (chart.appVersion !== version) throw new ContentsError(`The chart is for version ${chart.appVersion} (appVersion in Chart.yaml), and the images are of ${version}.`)
  const packed = join(work, 'chart.tgz')
  await packageChart(join(project, chartFolder), packed)
  add(`charts/${chart.name}-${chart.version}.tgz`, packed)
  add(chartFolder, join(project, chartFolder))
  await layOutTools({ folder: join(work, 'tools'), sbom: join(work, 'tools.cdx.json'), version })
  add('tools', join(work, 'tools'))
  add('sbom/tools.cdx.json', join(work, 'tools.cdx.json'))
  for (const name of await documentsFrom(project, documents)) if (!name.startsWith(`${chartFolder}/`)) add(name, join(project, name))
  add('LICENSE', join(project, 'LICENSE'))
  return content
}

interface Found {
  file: string
  sbom: string
  told: string
}

async function built(image: ImageDefinition, out: string, version: string): Promise<Found> {
  await mkdir(out, { recursive: true })
  const { file, sbom, reference, digest } = await buildImage(image, { out, name: imagePrefix, version })
  return { file, sbom, told: `${reference}  ${digest}` }
}

/** One of before, if it is of this version. */
async function found({ name }: ImageDefinition, folder: string, version: string): Promise<Found> {
  const [file, sbom, wanted] = [join(folder, `${name}.tar`), join(folder, `${name}.cdx.json`), `${imagePrefix}/${name}:${version}`]
  for (const one of [file, sbom]) if (!existsSync(one)) throw new ContentsError(`There is no ${one}: build it with "npm run images:build", or leave out --images.`)
  const [image] = indexOf(Buffer.from(await toolOutput('tar', ['-xOf', file, 'index.json'])))
  if (image?.reference !== wanted) throw new ContentsError(`${file} is ${image?.reference ?? 'no image'}, not ${wanted}.`)
  return { file, sbom, told: `${wanted}  ${image.manifest.digest}` }
}

import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { buildImage, imagesNamed, layOutImage, projectVersion } from './build-image.ts'
import { lockDebian } from './debian-packages.ts'
import { baseDebian, images } from './image-list.ts'

/** `npm run images:build`, which needs neither a registry nor Docker: see docs/images.md. `npm run images:lock` pins Debian's packages. */
const { values } = parseArgs({
  options: {
    image: { type: 'string', multiple: true },
    out: { type: 'string', default: 'images' },
    name: { type: 'string', default: 'localhost/intramuros' },
    'root-filesystem': { type: 'string' },
    lock: { type: 'boolean', default: false },
  },
})

if (values.lock) await lockDebian([...baseDebian, ...images.flatMap(({ debian }) => debian)])
else await build()

async function build(): Promise<void> {
  const { image: names, out, name, 'root-filesystem': rootFilesystem } = values
  const version = await projectVersion()
  for (const image of imagesNamed(names)) {
    if (rootFilesystem !== undefined) {
      // For the Dockerfile, whose last stage copies it.
      // oxlint-disable-next-line no-await-in-loop -- one at a time: they are large
      await layOutImage(join(rootFilesystem, image.name), image)
      continue
    }
    // oxlint-disable-next-line no-await-in-loop -- one at a time: they are large
    const { reference, digest, size, file } = await buildImage(image, { out, name, version })
    process.stdout.write(`${reference}  ${digest}  ${Math.round(size / 1e6)} MB  ${file}\n`)
  }
}

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { blobFile, checkBlob, imagesOf, readManifest } from '../../deploy/bundle/oci-layout.ts'

/** Needs Debian's apt and dpkg-deb, and root for the chroot that stands for a container. */
const script = join(import.meta.dirname, '../../deploy/images/build-images.ts')
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'intramuros-images-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function build(out: string, mask: string, variables: NodeJS.ProcessEnv = {}): string {
  const target = join(folder, out)
  const { status, stderr } = spawnSync('sh', ['-c', `umask ${mask}; exec "$0" "$@"`, process.execPath, script, '--image', 'audit', '--out', target], { encoding: 'utf8', env: { ...process.env, ...variables }, timeout: 180_000 })
  expect(status, stderr).toBe(0)
  return target
}

function run(program: string, args: string[]): { status: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: 60_000, env: { PATH: process.env['PATH'] } })
  return { status, said: stdout + stderr }
}

test('the same input makes the same image, wherever, whenever and whoever builds it; it is whole, and runs as nobody without a shell', async () => {
  const one = build('one', '022')
  const other = build('another/place', '077', { TZ: 'Asia/Tokyo', LANG: 'C.UTF-8' })
  for (const name of ['audit.tar', 'audit.cdx.json']) expect(readFileSync(join(other, name)).equals(readFileSync(join(one, name)))).toBe(true)

  const layout = join(folder, 'layout')
  mkdirSync(layout)
  expect(run('tar', ['-xf', join(one, 'audit.tar'), '-C', layout]).status).toBe(0)
  const [image] = await imagesOf(layout)
  if (image === undefined) return expect.unreachable()
  expect(image.reference).toMatch(/^localhost\/intramuros\/audit:\d/)
  const { blobs } = await readManifest(layout, image.manifest)
  await Promise.all(blobs.map((blob) => checkBlob(layout, blob)))

  const root = join(folder, 'root')
  mkdirSync(root)
  for (const { digest, mediaType } of blobs) if (mediaType.endsWith('layer.v1.tar')) expect(run('tar', ['-xf', blobFile(layout, digest), '-C', root]).status).toBe(0)
  // Files of somebody else, with a bit that lends a right, or of a shell or a GPU, are in none.
  expect(run('find', [root, '!', '-user', 'root', '-o', '-perm', '/6000', '-o', '!', '-type', 'l', '-perm', '-o+w', '-o', '-name', 'sh', '-o', '-name', '*cuda*.so*', '-o', '-name', '*vulkan*']).said).toBe('')
  const inside = (...command: string[]) => run('chroot', ['--userspec=65532:65532', root, ...command])
  expect(inside('/usr/local/bin/intramuros', '--version')).toEqual({ status: 0, said: `${image.reference.split(':').at(-1)}\n` })
  expect(inside('/usr/local/bin/node', '-e', "require('fs').writeFileSync('/tmp/x', '')").said).toContain('EACCES')
  // Without a configuration and certificates it says what it lacks, and has all that it is made of.
  expect(inside('/usr/local/bin/node', '/app/services/audit/main.js').said).not.toMatch(/ERR_MODULE_NOT_FOUND|Cannot find/)
}, 400_000)

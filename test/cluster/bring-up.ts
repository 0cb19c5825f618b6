import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runProgram } from '../support/run-program.ts'

/** Those that run on a node without a GPU. */
const images = ['gateway', 'tokenizer', 'audit', 'worker-cpu', 'probe']
const minute = 60_000

/**
 * Builds the images, brings the cluster up and gives it the images; afterwards takes the cluster down, unless it was up before.
 * INTRAMUROS_TEST_CLUSTER names the program that does it: `up`, `down`, `status` (status 0: it is up), `env` (shell lines that set PATH and KUBECONFIG),
 * `load-image TAR…` and `node COMMAND…` (runs a command on the node).
 * With INTRAMUROS_TEST_IMAGES=loaded, a cluster that was up has the images already.
 */
export default async function bringUp(): Promise<() => Promise<void>> {
  const program = process.env['INTRAMUROS_TEST_CLUSTER'] ?? ''
  if (program === '') throw new Error('INTRAMUROS_TEST_CLUSTER is not set: these tests need a program that brings up a Kubernetes cluster, see CONTRIBUTING.md.')
  const wasUp = await isUp(program)
  // The first time it builds what it runs.
  if (!wasUp) await runProgram(program, ['up'], { timeoutMs: 45 * minute })
  const folder = await mkdtemp(join(tmpdir(), 'intramuros-images-'))
  const takeDown = async (): Promise<void> => {
    await rm(folder, { recursive: true })
    if (!wasUp) await runProgram(program, ['down'], { timeoutMs: 3 * minute })
  }
  try {
    const [path = '', kubeconfig = ''] = (await runProgram('sh', ['-c', 'eval "$("$0" env)" && printf "%s\\n%s\\n" "$PATH" "$KUBECONFIG"', program], { timeoutMs: minute })).split('\n')
    Object.assign(process.env, { PATH: path, KUBECONFIG: kubeconfig })
    if (!wasUp || process.env['INTRAMUROS_TEST_IMAGES'] !== 'loaded') await loadImages(program, folder)
  } catch (thrown) {
    await takeDown()
    throw thrown
  }
  return takeDown
}

function isUp(program: string): Promise<boolean> {
  return new Promise((resolve) => execFile(program, ['status'], { timeout: minute }, (error) => resolve(error === null)))
}

async function loadImages(program: string, folder: string): Promise<void> {
  const script = join(import.meta.dirname, '../../deploy/images/build-images.ts')
  await runProgram(process.execPath, [script, '--image', images.join(','), '--out', folder], { timeoutMs: 15 * minute })
  await runProgram(program, ['load-image', ...images.map((name) => join(folder, `${name}.tar`))], { timeoutMs: 10 * minute })
  // For guide.test.ts.
  process.env['INTRAMUROS_TEST_IMAGE_FOLDER'] = folder
}

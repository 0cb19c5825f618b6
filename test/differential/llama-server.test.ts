import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { expect, it } from 'vitest'
import { startLlamaServer } from '../support/llama-server.ts'
import { until } from '../support/platform.ts'

const model = process.env['INTRAMUROS_TEST_MODEL'] ?? ''

async function answers(url: string): Promise<boolean> {
  return await fetch(`${url}/health`).then(
    ({ ok }) => ok,
    () => false,
  )
}

it('answers until it is closed', async () => {
  const server = await startLlamaServer({ model, args: ['--ctx-size', '256'] })
  expect(await answers(server.url)).toBe(true)
  await expect(server.post('/nowhere', {})).rejects.toThrow('llama-server answers /nowhere with 404')
  await server.close()
  expect(await answers(server.url)).toBe(false)
})

it('tells why it did not start', async () => {
  await expect(startLlamaServer({ model: '/nowhere.gguf' })).rejects.toThrow(/llama-server ended with 1\.[^]*nowhere/)
})

it('ends with the process that started it, even when that is killed', async () => {
  const script = `
    import { startLlamaServer } from ${JSON.stringify(new URL('../support/llama-server.ts', import.meta.url).href)}
    const { url } = await startLlamaServer(${JSON.stringify({ model, args: ['--ctx-size', '256'] })})
    process.stdout.write(url + '\\n')
  `
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [url] = (await once(createInterface(child.stdout), 'line')) as [string]
  expect(await answers(url)).toBe(true)
  child.kill('SIGKILL')
  await until(async () => !(await answers(url)), 'llama-server to end')
})

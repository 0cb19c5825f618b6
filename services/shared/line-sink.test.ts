import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const script = (body: string): string[] => ['--input-type=module', '-e', `import { createLineSink } from ${JSON.stringify(new URL('line-sink.ts', import.meta.url).href)}; const sink = createLineSink(1); ${body}`]

test('writes every line in order, gathered and flushed', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, script(`for (let i = 0; i < 5000; i += 1) { sink.write('line ' + i + '\\n'); if (i % 700 === 0) await new Promise(setImmediate) }
    await new Promise((resolve) => setTimeout(resolve, 300)); sink.write('last\\n'); sink.flush()`), { maxBuffer: 1e7 })
  expect(stdout).toBe(`${Array.from({ length: 5000 }, (_, i) => `line ${i}\n`).join('')}last\n`)
})

test('gives up when the reader is gone, flushed or not', async () => {
  const child = spawn(process.execPath, script(`process.send('ready'); process.once('message', () => { sink.write('x'.repeat(10_000) + '\\n'); sink.flush(); sink.write('y\\n'); sink.flush(); process.exit(3) })`), {
    stdio: ['ignore', 'pipe', 'ignore', 'ipc'],
  })
  await once(child, 'message')
  child.stdout?.destroy()
  child.send('go')
  const [code] = (await once(child, 'exit')) as [number]
  expect(code).toBe(3)
})

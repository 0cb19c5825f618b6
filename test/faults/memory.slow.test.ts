import { afterAll, afterEach, expect, test } from 'vitest'
import { chatBody, events, open, send, type StreamEvent } from '../support/client.ts'
import { until } from '../support/platform.ts'
import { type State, stateWith } from './support/alone.ts'
import { type Launched, launch } from './support/launched.ts'
import { createMemoryGroup } from './support/memory-group.ts'
import { endless } from './support/model-files.ts'

const model = process.env['INTRAMUROS_TEST_MODEL'] ?? ''
/** So little that the next page is too much. */
const group = createMemoryGroup(4096)

let state: State | undefined
let platform: Launched | undefined
afterEach(async () => {
  await state?.remove()
  await platform?.remove()
})
afterAll(() => group?.remove())

test('a worker that is asked for more slots than the machine has memory for ends with status 71, before it listens, and says so', async () => {
  state = await stateWith(model)
  // The whole context of each: a hundred gigabytes.
  const run = state.run('inference-worker', { env: { INTRAMUROS_INFERENCE_WORKER_SLOTS: '256', INTRAMUROS_INFERENCE_WORKER_CONTEXT_LENGTH: '8192' } })
  expect(await run.ended).toBe(71)
  expect(run.output()).toMatch(/memory.* 256 slots/)
  expect(run.output()).not.toContain('"msg":"listening"')
})

test.skipIf(group === undefined)('a worker that the kernel kills for its memory while it serves is told with that, and serves again', async () => {
  platform = await launch(model, { INTRAMUROS_INFERENCE_WORKER_CONTEXT_LENGTH: '1024' })
  const target = await platform.ready()
  const { response } = await open(target, chatBody(target, endless))
  const stream = events(response)
  await stream.next()
  group?.add(platform.pid('inference-worker'))
  let last: StreamEvent | undefined
  for await (const event of stream) last = event
  expect(last?.error?.code).toBe('peer_lost')
  await until(async () => (await send(target, chatBody(target, { max_tokens: 4 }))).status === 200, 'the worker to serve again')
  expect(platform.log()).toContain('"how":"signal SIGKILL, by the kernel if memory ran out"')
  expect((await platform.status()).text).toContain('last after signal SIGKILL, by the kernel if memory ran out')
})

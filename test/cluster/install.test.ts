import { afterAll, beforeAll, expect, test } from 'vitest'
import { verifyFolder } from '../../services/audit/verify/verify-folder.ts'
import { chatBody, send } from '../support/client.ts'
import { apply, ended, helm, kubectl } from './cluster.ts'
import { full, getReady, install, type Installation, modelId, release } from './installation.ts'

let installation: Installation
beforeAll(async () => {
  installation = await install({ name: 'fresh' })
  await getReady(installation)
})
afterAll(() => installation?.uninstall())

test('a model answers whoever has a key, and the answer is recorded', async () => {
  const { target } = installation
  const reply = await send(target, chatBody(target, { messages: [{ role: 'user', content: 'What is the capital of France?' }], max_tokens: 16 }))
  expect(reply.status, reply.text).toBe(200)
  expect(JSON.parse(reply.text)).toMatchObject({ model: modelId, choices: [{ message: { content: expect.stringMatching(/\p{L}{2,}/u) as string } }] })
  const id = reply.headers['x-request-id']
  expect((await installation.records()).filter(({ requestId }) => requestId === id)).toMatchObject([{ type: 'request.begin', team: 'lab' }, { type: 'request.end', outcome: 'completed' }])
  expect((await send({ ...target, key: 'sk-wrong' }, chatBody(target))).status).toBe(401)
  expect((await verifyFolder(installation.logFolder)).ok).toBe(true)
})

test('helm test shows each promise', async () => {
  const { namespace, target } = installation
  await apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'test-key', namespace }, stringData: { key: target.key } })
  await installation.upgrade({ tests: { keySecret: 'test-key' } })
  await installation.ready()
  const told = await helm(['test', release, '-n', namespace, '--logs', '--timeout', '4m'], { timeoutMs: 280_000 })
  for (const name of ['audit-verify', 'chat', 'no-key', 'no-way-out']) expect(told).toMatch(new RegExp(`TEST SUITE: +${full}-test-${name}\n(.+\n)*Phase: +Succeeded`))
  expect(told).not.toMatch(/^Phase: +(?!Succeeded| )/m)
})

test('only gateways may ask the API server, and only for where their peers are', async () => {
  const { namespace } = installation
  const may = async (account: string, verb: string, what: string, where = namespace): Promise<string> =>
    (await ended('kubectl', ['auth', 'can-i', verb, what, '-n', where, '--as', `system:serviceaccount:${namespace}:${account}`], 30_000)).output.trim()
  const gateway = `${full}-gateway`
  expect(await may(gateway, 'list', 'endpointslices.discovery.k8s.io')).toBe('yes')
  for (const [verb, what, where] of [['list', 'secrets'], ['get', 'pods'], ['create', 'pods/exec'], ['update', 'endpointslices.discovery.k8s.io'], ['list', 'endpointslices.discovery.k8s.io', 'default']] as const) {
    // oxlint-disable-next-line no-await-in-loop -- five
    expect([verb, what, await may(gateway, verb, what, where)]).toEqual([verb, what, 'no'])
  }
  const tokens = await kubectl(['-n', namespace, 'get', 'pods', '-l', 'intramuros.io/serving=true', '-o', 'jsonpath={range .items[*]}{.metadata.labels.app\\.kubernetes\\.io/component}={.spec.volumes[*].projected.sources[*].serviceAccountToken.path}{"\\n"}{end}'])
  expect(tokens.trim().split('\n').toSorted()).toEqual(['audit=', 'gateway=token', 'inference-worker=', 'tokenizer='])
})

test('no container has a shell, may write to its root, or is root', async () => {
  for (const target of [`deploy/${full}-gateway`, `deploy/${full}-tokenizer`, `sts/${full}-audit`, `deploy/${full}-worker-small`]) {
    // oxlint-disable-next-line no-await-in-loop -- four
    const shell = await ended('kubectl', ['-n', installation.namespace, 'exec', target, '--', 'sh', '-c', 'true'], 60_000)
    expect(shell.status, target).not.toBe(0)
    expect(shell.errors).toMatch(/executable file not found|no such file/)
    const program = 'const fs = require("fs"); try { fs.writeFileSync("/app/x", ""); console.log("written") } catch (e) { console.log(e.code) } console.log(process.getuid(), fs.readFileSync("/proc/self/status", "utf8").match(/CapEff:\\s*(\\S+)/)[1])'
    // oxlint-disable-next-line no-await-in-loop -- four
    expect((await kubectl(['-n', installation.namespace, 'exec', target, '--', '/usr/local/bin/node', '-e', program])).trim()).toBe('EROFS\n65532 0000000000000000')
  }
})

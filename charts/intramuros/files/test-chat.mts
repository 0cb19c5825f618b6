// A model answers whoever has a key, and the answer has a record.
import { readFileSync } from 'node:fs'
import { request } from 'node:https'

const { GATEWAY_HOST: host = '', GATEWAY_PORT: port = '', GATEWAY_NAME: servername = '', MODEL: model = '' } = process.env
const key = readFileSync('/etc/intramuros/api-key/key', 'utf8').trim()
const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
process.exitCode = 1
const asked = request({ host, port, servername, method: 'POST', path: '/v1/chat/completions', headers, ca: readFileSync('/etc/intramuros/tls/https/ca.crt'), timeout: 240_000 }, (response) => {
  let text = ''
  response.setEncoding('utf8')
  response.on('data', (piece: string) => (text += piece))
  response.on('end', () => {
    const tokens = response.statusCode === 200 ? (JSON.parse(text) as { usage: { completion_tokens: number } }).usage.completion_tokens : 0
    const record = response.headers['x-intramuros-record']
    process.stdout.write(`chat with ${model}: status ${response.statusCode}, ${tokens} tokens, record ${String(record ?? 'none')}\n`)
    if (tokens > 0 && record !== undefined) process.exitCode = 0
  })
})
asked.on('timeout', () => asked.destroy(new Error('no answer in 240 seconds')))
asked.on('error', (error) => process.stdout.write(`the gateway could not be asked: ${error.message}\n`))
asked.end(JSON.stringify({ model, max_tokens: 8, messages: [{ role: 'user', content: 'Say hello.' }] }))

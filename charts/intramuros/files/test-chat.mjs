// A model answers whoever has a key.
import { readFileSync } from 'node:fs'
import { request } from 'node:https'

const { GATEWAY_HOST: host, GATEWAY_PORT: port, GATEWAY_NAME: servername, MODEL: model } = process.env
const key = readFileSync('/etc/intramuros/api-key/key', 'utf8').trim()
const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
const asked = request({ host, port, servername, method: 'POST', path: '/v1/chat/completions', headers, ca: readFileSync('/etc/intramuros/tls/https/ca.crt'), timeout: 240_000 }, (response) => {
  let text = ''
  response.setEncoding('utf8')
  response.on('data', (piece) => (text += piece))
  response.on('end', () => {
    const tokens = response.statusCode === 200 ? JSON.parse(text).usage.completion_tokens : 0
    console.log(`chat with ${model}: status ${response.statusCode}, ${tokens} tokens, record ${response.headers['x-intramuros-record'] ?? 'none'}`)
    process.exitCode = tokens > 0 && response.headers['x-intramuros-record'] !== undefined ? 0 : 1
  })
})
asked.on('timeout', () => asked.destroy(new Error('no answer in 240 seconds')))
asked.on('error', (error) => {
  console.log(`the gateway could not be asked: ${error.message}`)
  process.exitCode = 1
})
asked.end(JSON.stringify({ model, max_tokens: 8, messages: [{ role: 'user', content: 'Say hello.' }] }))

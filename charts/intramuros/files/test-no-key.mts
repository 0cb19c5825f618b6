// The gateway answers, over TLS that the CA vouches for, and not without a key.
import { readFileSync } from 'node:fs'
import { request } from 'node:https'

const { GATEWAY_HOST: host = '', GATEWAY_PORT: port = '', GATEWAY_NAME: servername = '' } = process.env
process.exitCode = 1
const asked = request({ host, port, servername, path: '/v1/models', ca: readFileSync('/etc/intramuros/tls/https/ca.crt'), timeout: 10_000 }, (response) => {
  response.resume()
  process.stdout.write(`GET /v1/models without a key: status ${response.statusCode}\n`)
  if (response.statusCode === 401) process.exitCode = 0
})
asked.on('timeout', () => asked.destroy(new Error('no answer in 10 seconds')))
asked.on('error', (error) => process.stdout.write(`the gateway could not be asked: ${error.message}\n`))
asked.end()

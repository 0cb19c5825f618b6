import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'

/**
 * The rival: a bare node:https server that reads and parses the body and sends an answer of the same shape, as
 * `max_tokens` server-sent events, with nothing behind it. Its CPU time is what Node itself takes for the same bytes.
 */
const pem = readFileSync(process.argv[2] ?? '')

const server = createServer({ key: pem, cert: pem }, (request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const { max_tokens: tokens } = JSON.parse(Buffer.concat(chunks).toString()) as { max_tokens: number }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    let sent = 0
    const next = (): void => {
      response.write(`data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', choices: [{ index: 0, delta: { content: 'word ' } }] })}\n\n`)
      sent += 1
      if (sent < tokens) setImmediate(next)
      else response.end('data: [DONE]\n\n')
    }
    next()
  })
})
server.listen(0, '127.0.0.1', () => process.send?.({ type: 'listening', port: (server.address() as AddressInfo).port }))
process.on('message', (message) => {
  if (message === 'cpu') process.send?.({ type: 'cpu', microseconds: process.cpuUsage().user + process.cpuUsage().system })
})

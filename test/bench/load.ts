import { Agent, request } from 'node:https'

/**
 * The load generator, a process of its own so that its work is in nobody's figures. For each plan it is sent, it makes `requests`
 * streamed chat completions over `concurrency` kept-alive connections and sends a LoadResult back.
 */
export interface LoadPlan {
  url: string
  ca: string
  key: string
  model: string
  concurrency: number
  requests: number
  /** Of each answer, which is streamed. */
  tokens: number
}

export interface LoadResult {
  firstByteMs: number[]
  seconds: number
  errors: number
}

async function run(plan: LoadPlan): Promise<LoadResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: plan.concurrency, ca: plan.ca })
  const body = Buffer.from(
    JSON.stringify({
      model: plan.model,
      stream: true,
      max_tokens: plan.tokens,
      messages: [
        { role: 'system', content: 'You answer in one sentence.' },
        { role: 'user', content: 'Which mountain pass did the courier take in winter, and why not the road along the river?' },
      ],
    }),
  )
  const firstByteMs: number[] = []
  let errors = 0
  let left = plan.requests

  function once(): Promise<void> {
    return new Promise((resolve) => {
      const started = performance.now()
      const sent = request(
        `${plan.url}/v1/chat/completions`,
        { method: 'POST', agent, headers: { authorization: `Bearer ${plan.key}`, 'content-type': 'application/json', 'content-length': body.length } },
        (response) => {
          if (response.statusCode !== 200) errors += 1
          response.once('data', () => firstByteMs.push(performance.now() - started))
          response.on('data', () => undefined)
          response.on('end', resolve)
          response.on('error', () => resolve())
        },
      )
      sent.on('error', () => {
        errors += 1
        resolve()
      })
      sent.end(body)
    })
  }

  async function client(): Promise<void> {
    while (left > 0) {
      left -= 1
      await once()
    }
  }

  const started = performance.now()
  await Promise.all(Array.from({ length: plan.concurrency }, client))
  agent.destroy()
  return { firstByteMs, seconds: (performance.now() - started) / 1000, errors }
}

process.on('message', (plan: LoadPlan) => {
  void run(plan).then((result) => process.send?.(result))
})

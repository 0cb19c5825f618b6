import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { Agent, request } from 'node:https'
import { events, type Target } from '../support/client.ts'
import { until } from '../support/platform.ts'

/** What came of one request. */
export interface Answer {
  requestId: string
  status: number
  /** The answer is whole: a stream ended as it should. */
  whole: boolean
  /** Code of the error that the client was told, in the answer or in the stream; of the socket, where the connection failed. */
  error: string
  /** Milliseconds since the load began. */
  at: number
}

export interface Load {
  readonly answers: readonly Answer[]
  /** Waits until so many more have been answered whole. */
  more(count: number, limitMs?: number): Promise<void>
  /** Lets the requests under way end. */
  stop(): Promise<readonly Answer[]>
}

const requestMs = 120_000

/**
 * Clients that ask, each one request after the other, until they are stopped: half keep their connections, as OpenAI's clients do, half connect anew each time;
 * answers are streamed, and none is tried again.
 */
export function startLoad(target: Target, clients = 4): Load {
  const answers: Answer[] = []
  const began = performance.now()
  let stopping = false
  async function client(number: number): Promise<void> {
    const agent = new Agent({ keepAlive: number % 2 === 0, maxSockets: 1, ca: target.ca })
    try {
      while (!stopping) {
        const answer = await ask(target, agent)
        answers.push({ ...answer, at: Math.round(performance.now() - began) })
        // Nobody asks hundreds of times a second when there is nobody to ask.
        if (!answer.whole) await new Promise((resolve) => setTimeout(resolve, 100))
      }
    } finally {
      agent.destroy()
    }
  }
  const running = Promise.all(Array.from({ length: clients }, (_, number) => client(number)))
  return {
    answers,
    async more(count, limitMs = 120_000) {
      const whole = (): number => answers.filter((answer) => answer.whole).length
      const wanted = whole() + count
      await until(() => whole() >= wanted, `${count} more answers`, limitMs)
    },
    async stop() {
      stopping = true
      await running
      return answers
    },
  }
}

async function ask(target: Target, agent: Agent): Promise<Omit<Answer, 'at'>> {
  const answer = { requestId: '', status: 0, whole: false, error: '' }
  try {
    const sent = request(`${target.url}/v1/chat/completions`, { method: 'POST', agent, signal: AbortSignal.timeout(requestMs), headers: { authorization: `Bearer ${target.key}`, 'content-type': 'application/json' } })
    sent.end(JSON.stringify({ model: target.model, messages: [{ role: 'user', content: 'Count to ten.' }], max_tokens: 12, temperature: 0, stream: true }))
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    answer.requestId = String(response.headers['x-request-id'] ?? '')
    answer.status = response.statusCode ?? 0
    if (answer.status === 200) {
      for await (const event of events(response)) {
        if (event.error !== undefined) answer.error = event.error.code
        if (event.done === true) answer.whole = true
      }
    } else {
      const text = Buffer.concat((await response.toArray()) as Buffer[]).toString()
      answer.error = (JSON.parse(text) as { error: { code: string } }).error.code
    }
  } catch (thrown) {
    answer.error = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : String(thrown)
  }
  return answer
}

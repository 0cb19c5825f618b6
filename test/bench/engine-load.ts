import { connectTarget, type SamplingChoice, type Target, type TargetAddress } from './engine-targets.ts'
import { excerpt, type Workload } from './engine-workloads.ts'

/**
 * The load generator, a process of its own on its own core. For each plan it is sent, `concurrency` clients have their conversations
 * with one server, each asking again as soon as its answer is whole, and a LoadResult goes back.
 */
export interface EnginePlan {
  target: TargetAddress
  workload: Workload
  concurrency: number
  sampling: SamplingChoice
  /** A text that the prompts are made of. */
  text: readonly number[]
  /** Of the first prompt; another one for each plan, so that nothing is asked twice. */
  firstPrompt: number
}

export interface EngineResult {
  seconds: number
  outputTokens: number
  /** Milliseconds from the request to its first token; between the messages that bring further ones. */
  ttft: number[]
  itl: number[]
  error: string | undefined
}

const open = new Map<string, Promise<Target>>()

async function run({ target: address, workload, concurrency, sampling, text, firstPrompt }: EnginePlan): Promise<EngineResult> {
  const name = JSON.stringify(address)
  const connecting = open.get(name) ?? connectTarget(address)
  open.set(name, connecting)
  const target = await connecting
  const result: EngineResult = { seconds: 0, outputTokens: 0, ttft: [], itl: [], error: undefined }

  async function converse(number: number): Promise<void> {
    const prompt = excerpt(text, number, workload.promptTokens)
    for (let turn = 0; turn < workload.turns; turn += 1) {
      if (turn > 0) prompt.push(...excerpt(text, number + turn, workload.turnTokens))
      const started = performance.now()
      let last: number | undefined
      await target.ask({ prompt, answerTokens: workload.answerTokens, sampling, seed: number }, (tokens) => {
        const now = performance.now()
        if (last === undefined) result.ttft.push(now - started)
        else result.itl.push(now - last)
        last = now
        prompt.push(...tokens)
      })
      result.outputTokens += workload.answerTokens
    }
  }

  async function client(index: number): Promise<void> {
    for (let conversation = 0; conversation < workload.conversations; conversation += 1) {
      await converse(firstPrompt + conversation * concurrency + index)
    }
  }

  const started = performance.now()
  await Promise.all(Array.from({ length: concurrency }, async (_, index) => await client(index)))
  return { ...result, seconds: (performance.now() - started) / 1000 }
}

process.on('message', (plan: EnginePlan) => {
  run(plan).then(
    (result) => process.send?.(result),
    (thrown: unknown) => process.send?.({ seconds: 0, outputTokens: 0, ttft: [], itl: [], error: String(thrown) } satisfies EngineResult),
  )
})

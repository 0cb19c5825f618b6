/** Inputs in one call of a worker: EmbedRequest and RankRequest in inference.proto. */
const batchSize = 64

/** What a worker makes of inputs, in their order; one call after the other, so that one request takes one slot at a time. */
export async function inBatches<Input, Output>(inputs: readonly Input[], work: (batch: Input[]) => Promise<readonly Output[]>): Promise<Output[]> {
  const outputs: Output[] = []
  for (let from = 0; from < inputs.length; from += batchSize) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    outputs.push(...(await work(inputs.slice(from, from + batchSize))))
  }
  return outputs
}

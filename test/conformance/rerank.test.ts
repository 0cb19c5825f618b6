import { Check } from 'typebox/value'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Reranking } from '../../services/gateway/api/rerank/response.ts'
import { send } from '../support/client.ts'
import { minilmReranker } from '../support/minilm.ts'
import { type Platform, startPlatform } from '../support/platform.ts'

let platform: Platform
beforeAll(async () => {
  platform = await startPlatform({ embeddingModelPath: await minilmReranker() })
}, 300_000)
afterAll(() => platform.stop())

const documents = ['Owls sleep in hollow trees.', 'The stadium was full.', { text: 'It rained all day.' }]

async function rerank(body: object): Promise<{ results: { index: number; document?: { text: string } }[] }> {
  const answer: unknown = JSON.parse((await send(platform, { model: platform.embeddingModel, query: 'Where do owls sleep?', documents, ...body }, { path: '/v1/rerank' })).text)
  if (!Check(Reranking, answer)) throw new Error('not of the schema that /openapi.json tells')
  return answer
}

test('all documents, or the best of them with their texts', async () => {
  const all = await rerank({})
  expect(all.results).toHaveLength(3)
  const best = await rerank({ top_n: 1, return_documents: true })
  expect(best.results).toHaveLength(1)
  expect(best.results[0]?.index).toBe(all.results[0]?.index)
  const [first, second, third] = documents
  expect([first, second, (third as { text: string }).text]).toContain(best.results[0]?.document?.text)
})

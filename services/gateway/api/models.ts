import type { ModelEntry } from '../../shared/models/catalogue.ts'

/** Body of GET /v1/models, https://platform.openai.com/docs/api-reference/models/list. */
export function modelList(models: readonly ModelEntry[], startedAt: number): string {
  const data = models.map((model) => ({ id: model.id, object: 'model', created: startedAt, owned_by: 'intramuros' }))
  return JSON.stringify({ object: 'list', data })
}

import { type ModelFile, readModelFile } from '../gguf/model-file.ts'
import type { Model } from './memory-need.ts'
import { readModelShape } from './model-shape.ts'
import { weightsOf } from './weights.ts'

/** What a GGUF file says of its model's size. Throws GgufError. */
export async function readModel(path: string): Promise<Model & { file: ModelFile }> {
  const file = await readModelFile(path)
  return { file, ...modelOf(file) }
}

/** As readModel, of a file that was read. Throws GgufError. */
export function modelOf(file: ModelFile): Model {
  const shape = readModelShape(file)
  return { shape, weights: weightsOf(file, shape.layers.length) }
}

import type { Config } from './schema.ts'
export const a: Config['models'] = 1
export const b: Config['gateway'] = 1

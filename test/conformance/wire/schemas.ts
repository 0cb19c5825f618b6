import { join } from 'node:path'

/** Made by install-clients.ts. */
export const schemasFile = join(import.meta.dirname, '../node_modules/.wire-schemas.json')

import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/**
 * Makes a commented configuration file with every setting at its default, and the schema that it names for editors,
 * where there is none.
 */
export async function writeDefaultFiles({ file }: { file: string }): Promise<void> {
  if (existsSync(file)) return
  const [{ defaultConfigFile }, { configJsonSchema }] = await Promise.all([
    import('../../services/shared/config/default-file.ts'),
    import('../../services/shared/config/json-schema.ts'),
  ])
  const folder = dirname(file)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const schema = `${JSON.stringify(configJsonSchema(), undefined, 2)}\n`
  await writeFile(join(folder, 'intramuros.schema.json'), schema, { mode: 0o600 })
  await writeFile(file, defaultConfigFile(), { mode: 0o600, flag: 'wx' })
}

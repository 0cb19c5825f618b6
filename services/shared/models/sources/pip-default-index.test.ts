import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { indexInHelp, pipDefaultIndex } from './pip-default-index.ts'

const help = `Package Index Options:
  -i, --index-url <url>       Base URL of the Python Package Index (default
                              https://index.internal/simple). This should point to a
  --extra-index-url <url>     Extra URLs (default https://other.internal/simple)
`

test("the default is read out of pip's help", () => {
  expect(indexInHelp(help)).toBe('https://index.internal/simple')
  expect(indexInHelp(help.replace('(default\n', '(none\n'))).toBeUndefined()
  expect(indexInHelp('')).toBeUndefined()
})

test('pip is asked; without pip there is no default', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'intramuros-pip-'))
  try {
    const signal = AbortSignal.timeout(10_000)
    expect(await pipDefaultIndex({ PATH: folder }, signal)).toBeUndefined()
    // Stands for a machine where python3 has no pip, but pip3 is there.
    const pip = join(folder, 'pip3')
    await writeFile(join(folder, 'python3'), '#!/bin/sh\nexit 1\n')
    await writeFile(pip, `#!/bin/sh\n[ "$1 $2" = "download --help" ] || exit 1\n/bin/cat <<'END'\n${help}END\n`)
    await Promise.all([chmod(pip, 0o700), chmod(join(folder, 'python3'), 0o700)])
    expect(await pipDefaultIndex({ PATH: folder }, signal)).toBe('https://index.internal/simple')
  } finally {
    await rm(folder, { recursive: true })
  }
})

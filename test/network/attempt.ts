import { attemptAll } from '../../services/shared/isolation/attempt.ts'
import { parseTarget } from '../../services/shared/isolation/target.ts'

/** Tries targets from the network that it is started in, and prints what came of it. Arguments: milliseconds, then targets. */
const [timeoutMs, ...texts] = process.argv.slice(2)
const targets = texts.map((text) => {
  const target = parseTarget(text)
  if (target === undefined) throw new Error(`${text} is no target`)
  return target
})
process.stdout.write(JSON.stringify(await attemptAll(targets, { timeoutMs: Number(timeoutMs) })))

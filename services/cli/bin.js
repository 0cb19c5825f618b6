#!/usr/bin/env node
// The one file that any Node must be able to read: it starts the command with the Node that this package brings, when
// the one that runs it is too old for TypeScript. Plain JavaScript, old syntax.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const oldest = 24

if (Number(process.versions.node.split('.')[0]) >= oldest) {
  await import('./main.ts')
} else {
  const own = fileURLToPath(new URL('../../node_modules/.bin/node', import.meta.url))
  if (existsSync(own)) {
    const main = fileURLToPath(new URL('main.ts', import.meta.url))
    const child = spawn(own, [main, ...process.argv.slice(2)], { stdio: 'inherit' })
    // A terminal's Ctrl-C then reaches the child twice, which takes the second for the echo that it is.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
    child.on('exit', (status, signal) => process.exit(signal === null ? status : 1))
  } else {
    const found = process.versions.node
    process.stderr.write(`intramuros needs Node.js ${oldest} or newer, not ${found}. Run "npm ci" in its folder: that brings one.\n`)
    process.exitCode = 1
  }
}

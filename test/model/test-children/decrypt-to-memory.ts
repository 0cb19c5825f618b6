import { readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { loadConfig } from '../../../services/shared/config/load.ts'
import { createModelOpener } from '../../../services/shared/models/open-model.ts'
import { catalogueOf } from '../../../services/shared/models/catalogue.ts'

// Opens the one own model of its configuration as a worker does, and tells what it took at its worst.
const config = loadConfig({ env: process.env })
const silent = (): void => undefined
const entry = catalogueOf(config.models).get('large')
if (entry === undefined) throw new Error('no such model')
const opened = await createModelOpener({ config, env: process.env, log: { info: silent, warn: silent, error: silent } })(entry, 'everything')
const { size } = await stat(opened.path)
const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
process.stdout.write(JSON.stringify({ size, residentPeak: Number(peak) * 1024 }))
await opened.close()

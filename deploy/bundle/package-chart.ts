import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { PassThrough } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { parse } from 'yaml'
import { toolInto } from '../run-tool.ts'
import { tarOptions } from './make-bundle.ts'

const chartCheck = Compile(Type.Object({ name: Type.String(), version: Type.String({ pattern: String.raw`^\d+\.\d+\.\d+` }), appVersion: Type.String() }))

export interface Chart {
  name: string
  version: string
  /** Of the images that it installs. */
  appVersion: string
}

/** Throws an Error. */
export async function readChart(folder: string): Promise<Chart> {
  const file = join(folder, 'Chart.yaml')
  const { name, version, appVersion } = chartCheck.Parse(parse(await readFile(file, 'utf8')))
  return { name, version, appVersion }
}

/** Writes what `helm package` makes of a chart's folder, but with its scenarios in ci/, and the same bytes each time. Returns their SHA-256, hexadecimal. */
export async function packageChart(folder: string, file: string): Promise<string> {
  const packed = new PassThrough()
  const bytes = buffer(packed)
  await toolInto('tar', [...tarOptions, '-cf', '-', '-C', dirname(folder), basename(folder)], (chunks) => chunks, packed)
  const zipped = gzipSync(await bytes, { level: 9 })
  await writeFile(file, zipped)
  return createHash('sha256').update(zipped).digest('hex')
}

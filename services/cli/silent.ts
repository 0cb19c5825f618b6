import type { Logger } from '../shared/log.ts'

/** Commands say themselves what went wrong. */
export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

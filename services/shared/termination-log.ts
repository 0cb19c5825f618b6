import { closeSync, constants, openSync, writeSync } from 'node:fs'

/** Where Kubernetes reads why a container ended (terminationMessagePath); it makes the file. */
const path = '/dev/termination-log'

/** Kubernetes keeps 4096 bytes. */
const mostBytes = 2048

/**
 * Leaves word for whoever finds the container ended; replaces what was left before, and an empty text takes it back. Where there is no
 * such file nothing happens. The text is for operators, and holds nothing of a request.
 */
export function writeTerminationLog(text: string, file = path): void {
  try {
    // Not made where it does not exist: /dev of a machine is not ours.
    const opened = openSync(file, constants.O_WRONLY | constants.O_TRUNC | constants.O_NOFOLLOW)
    writeSync(opened, Buffer.from(text).subarray(0, mostBytes))
    closeSync(opened)
  } catch {
    // No container, or one that may not write there.
  }
}

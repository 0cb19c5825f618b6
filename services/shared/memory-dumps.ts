import { writeFileSync } from 'node:fs'

/**
 * What this process holds in memory, prompts among it, must not be written to a disk when it dies. Switches off what can be switched
 * off from inside: the kernel's core dumps hold no memory any more, wherever they go, and Node writes no reports. Returns the options
 * of Node that write memory to files and can't be taken back; the process must not run with those.
 */
export function keepMemoryOffDisks(options: readonly string[] = nodeOptions()): string[] {
  try {
    // Linux: which kinds of memory go into a core dump. None; it counts for a handler that core dumps are piped to, too.
    writeFileSync('/proc/self/coredump_filter', '0')
  } catch {
    // Another system, or /proc is not there. The launcher's limit on core files holds.
  }
  // On a failed assertion llama.cpp would have a debugger attach to this process and print what it finds, for seconds.
  process.env['GGML_NO_BACKTRACE'] = '1'
  const { report } = process
  report.reportOnFatalError = false
  report.reportOnSignal = false
  report.reportOnUncaughtException = false
  return options.map((option) => option.replace(/=.*/s, '').replaceAll('_', '-')).filter((option) => writesMemory.test(option))
}

const writesMemory = /^--heap(snapshot-|-prof)/

function nodeOptions(): string[] {
  return [...process.execArgv, ...(process.env['NODE_OPTIONS'] ?? '').split(/\s+/)]
}

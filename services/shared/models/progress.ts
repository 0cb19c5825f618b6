/** How far a fetch is. Bytes received count from the start of the file, those of an earlier try included. */
export interface Progress {
  source: string
  received: number
  /** Bytes of the whole; undefined when the server doesn't tell. */
  total: number | undefined
}

/** What of a stream the renderer uses: process.stderr fits. */
export interface ProgressStream {
  isTTY?: boolean
  columns?: number
  write(text: string): unknown
}

export interface ProgressRenderer {
  (progress: Progress): void
  /** Ends a line that is still being redrawn, so that what is printed next begins on its own. */
  done(): void
}

const redrawMs = 100
const barWidth = 24

interface Run {
  source: string
  startedAt: number
  /** Bytes that were here before: they say nothing about the speed. */
  startedWith: number
  drawnAt: number
  drawnTenth: number
  finished: boolean
}

/**
 * Renders a fetch for people: on a terminal one line that is redrawn at most ten times a second, elsewhere a line for every 10
 * %. `now` is a monotonic clock in milliseconds.
 */
export function createProgress(stream: ProgressStream, now: () => number = () => performance.now()): ProgressRenderer {
  let run: Run | undefined
  let lineOpen = false

  function done(): void {
    if (lineOpen) stream.write('\n')
    lineOpen = false
  }

  function render(progress: Progress): void {
    const { source, received, total } = progress
    const time = now()
    if (run === undefined || run.source !== source || received < run.startedWith) {
      done()
      run = { source, startedAt: time, startedWith: received, drawnAt: -Infinity, drawnTenth: -1, finished: false }
    }
    if (run.finished) return
    const finished = total !== undefined && received >= total
    const speed = ((received - run.startedWith) / Math.max(time - run.startedAt, 1)) * 1000
    if (stream.isTTY === true) {
      if (!finished && time - run.drawnAt < redrawMs) return
      run.drawnAt = time
      const text = describeProgress(progress, speed)
      const bar = total === undefined ? '' : `${barOf(received / total)} `
      // A terminal that doesn't know its width says 0.
      const room = Math.max((stream.columns === undefined || stream.columns === 0 ? 80 : stream.columns) - 1, 20)
      stream.write(`\r\u001B[2K${(bar.length + text.length <= room ? bar + text : text).slice(0, room)}`)
      lineOpen = true
    } else {
      const tenth = total === undefined ? Math.floor(received / 10_000_000) : Math.floor((received / total) * 10)
      if (tenth <= run.drawnTenth) return
      run.drawnTenth = tenth
      stream.write(`${describeProgress(progress, speed)}\n`)
    }
    if (finished) {
      run.finished = true
      done()
    }
  }

  return Object.assign(render, { done })
}

/** For example ` 42 %  41.3 of 98.4 MB  12.0 MB/s  5 s left  hub example.org`. */
function describeProgress({ source, received, total }: Progress, bytesPerSecond: number): string {
  const rate = bytesPerSecond > 0 ? `  ${megabytes(bytesPerSecond)} MB/s` : ''
  if (total === undefined) return `${megabytes(received)} MB${rate}  ${source}`
  const left = received < total && bytesPerSecond > 0 ? `  ${duration((total - received) / bytesPerSecond)} left` : ''
  const percent = `${Math.floor((received / total) * 100)}`.padStart(3)
  return `${percent} %  ${megabytes(received)} of ${megabytes(total)} MB${rate}${left}  ${source}`
}

function barOf(part: number): string {
  const filled = Math.min(Math.floor(part * barWidth), barWidth)
  return `[${'#'.repeat(filled)}${' '.repeat(barWidth - filled)}]`
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1)
}

function duration(seconds: number): string {
  if (seconds < 60) return `${Math.ceil(seconds)} s`
  const minutes = Math.ceil(seconds / 60)
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/** Loaded into a service with --import: SIGUSR2 sets its clock an hour back, or forth again. Timers go on, as they do when a system's clock is set. */
const hourMs = 3_600_000
const real = Date.now
let behindMs = 0
Date.now = () => real() - behindMs
process.on('SIGUSR2', () => (behindMs = hourMs - behindMs))

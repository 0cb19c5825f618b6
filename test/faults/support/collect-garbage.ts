/** Loaded into a service with --import, beside --expose-gc: it collects its garbage on SIGUSR2, so that its heap can be compared. */
process.on('SIGUSR2', () => {
  globalThis.gc?.()
})

/** Free bytes of the GPUs that llama.cpp can use here, together; 0 without one. Loads llama.cpp, quietly. */
export async function freeGpuMemory(): Promise<number> {
  const { getLlama, LlamaLogLevel } = await import('node-llama-cpp')
  try {
    const llama = await getLlama({ gpu: 'auto', build: 'never', skipDownload: true, progressLogs: false, maxThreads: 1, logLevel: LlamaLogLevel.disabled, logger: () => undefined })
    const free = llama.gpu === false ? 0 : (await llama.getVramState()).free
    await llama.dispose()
    return free
  } catch {
    // No build of it for this machine: then there is no GPU for it either.
    return 0
  }
}

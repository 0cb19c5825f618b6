/** One image. */
export interface ImageDefinition {
  name: string
  /** What it runs, and what else of the sources can be run in it; the first is the entrypoint. */
  entries: readonly string[]
  /** It has the command line, at /usr/local/bin/intramuros. */
  commandLine: boolean
  /** Packages of npm that have a build for each kind of machine: those that this image has. */
  natives: readonly string[]
  /** Packages that only commands want which make no sense here. */
  without: readonly string[]
  /** Packages of Debian beside those that Node.js needs. */
  debian: readonly string[]
  /** Environment of the process. */
  env: Readonly<Record<string, string>>
}

/** The C library and what C++ programs need: Node.js is nothing else. */
export const baseDebian = ['gcc-12-base', 'libatomic1', 'libc6', 'libgcc-s1', 'libstdc++6'] as const

const commandLine = 'services/cli/main.ts'
// Which GPUs this machine has: "models fit" asks it.
const engine = ['node-llama-cpp']

function worker(variant: string, natives: readonly string[], env: Readonly<Record<string, string>>, debian: readonly string[] = []): ImageDefinition {
  return { name: `worker-${variant}`, entries: ['services/inference-worker/main.ts'], commandLine: false, natives, without: [], debian, env }
}

// The NVIDIA container runtime brings the driver's own libraries where these ask for it.
const nvidia = { NVIDIA_VISIBLE_DEVICES: 'all' }

export const images: readonly ImageDefinition[] = [
  { name: 'gateway', entries: ['services/gateway/main.ts'], commandLine: false, natives: [], without: [], debian: [], env: {} },
  // It has llama.cpp's vocabularies, and computes nothing with them.
  { name: 'tokenizer', entries: ['services/tokenizer/main.ts'], commandLine: false, natives: ['@node-llama-cpp/linux-x64'], without: [], debian: [], env: {} },
  { name: 'audit', entries: ['services/audit/main.ts', commandLine], commandLine: true, natives: [], without: engine, debian: [], env: {} },
  worker('cpu', ['@node-llama-cpp/linux-x64'], {}),
  worker('cuda', ['@node-llama-cpp/linux-x64', '@node-llama-cpp/linux-x64-cuda', '@node-llama-cpp/linux-x64-cuda-ext'], { ...nvidia, NVIDIA_DRIVER_CAPABILITIES: 'compute,utility' }),
  worker('vulkan', ['@node-llama-cpp/linux-x64', '@node-llama-cpp/linux-x64-vulkan'], { ...nvidia, NVIDIA_DRIVER_CAPABILITIES: 'graphics,compute,utility' }, ['libvulkan1']),
  { name: 'probe', entries: [commandLine], commandLine: true, natives: [], without: engine, debian: ['iputils-ping', 'libcap2', 'libidn2-0', 'libunistring2'], env: {} },
]

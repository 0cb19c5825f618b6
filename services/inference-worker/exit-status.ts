import { exitStatus, type FatalStatus } from '../shared/supervision.ts'
import type { EngineLoadReason } from './engines/load-error.ts'

/** What the worker's process ends with when it can't load its model. */
export const statusOfLoadError: Record<EngineLoadReason, FatalStatus> = {
  file_missing: exitStatus.missingFile,
  file_unreadable: exitStatus.missingFile,
  part_missing: exitStatus.missingFile,
  not_gguf: exitStatus.badData,
  unsupported_gguf_version: exitStatus.badData,
  file_damaged: exitStatus.badData,
  unsupported_architecture: exitStatus.badData,
  unsupported_vocabulary: exitStatus.badData,
  unsupported_pooling: exitStatus.badData,
  load_failed: exitStatus.badData,
  out_of_memory: exitStatus.outOfMemory,
  too_many_slots: exitStatus.configuration,
  gpu_unavailable: exitStatus.configuration,
  server_mismatch: exitStatus.configuration,
  server_unsafe: exitStatus.configuration,
}

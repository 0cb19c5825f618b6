import { exitStatus } from '../../services/shared/supervision.ts'

export interface ProcessEnd {
  status: number | null
  signal: NodeJS.Signals | null
  /** The launcher killed it because it said nothing any more. */
  hung: boolean
  /** It said itself what it may have died of. */
  explained: boolean
}

/** How a service ended, for the person who looks after it. */
export function describeEnd({ status, signal, hung, explained }: ProcessEnd): string {
  if (signal === null) return `status ${status}${describeStatus(status)}`
  return `signal ${signal}${hung ? ', by the launcher, as it hung' : describeSignal(signal, explained)}`
}

const statuses = new Map<number | null, string>([
  [exitStatus.badData, 'a file is damaged or can not be used'],
  [exitStatus.missingFile, 'a file is missing'],
  [exitStatus.portInUse, 'a port is in use'],
  [exitStatus.crashed, 'an error that nobody expected'],
  [exitStatus.outOfMemory, 'not enough memory'],
  [exitStatus.again, 'to be started again'],
  [exitStatus.configuration, 'a setting is wrong or can not be met'],
])

function describeStatus(status: number | null): string {
  const meaning = statuses.get(status)
  return meaning === undefined ? '' : `, ${meaning}`
}

function describeSignal(signal: NodeJS.Signals, explained: boolean): string {
  switch (signal) {
    case 'SIGKILL':
      return explained ? '' : ', by the kernel if memory ran out'
    case 'SIGABRT':
    case 'SIGSEGV':
    case 'SIGBUS':
    case 'SIGILL':
    case 'SIGFPE':
    case 'SIGTRAP':
      return ', native code crashed'
    default:
      return ''
  }
}

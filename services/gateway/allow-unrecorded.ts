import { FatalStartError } from '../shared/supervision.ts'

const variable = 'INTRAMUROS_AUDIT_ALLOW_UNRECORDED'
const consent = 'yes-i-accept-unrecorded-answers'

/** That answers go out without a record is nothing that one line in a file should bring about. Throws FatalStartError. */
export function requireSecondSwitch(env: NodeJS.ProcessEnv): void {
  if (env[variable] === consent) return
  throw new FatalStartError(
    `audit.onFailure is "allow": requests would be answered though they can not be recorded. If that is really wanted, set ${variable}=${consent} in the environment of the gateway too; else set audit.onFailure to "refuse".`,
  )
}

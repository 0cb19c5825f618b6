import { pino } from 'pino'
import { Registry } from 'prom-client'
import { InferenceService } from '../../proto/gen/intramuros/v1/inference.ts'
import { connectLane, type LaneClient } from '../../services/shared/rpc/lane-client.ts'
import { createCallObserver } from '../../services/shared/rpc/observe.ts'
import { startTelemetry } from '../../services/shared/telemetry.ts'
import { watchIdentity } from '../../services/shared/tls/identity.ts'
import { until } from './platform.ts'

/** A lane to a worker process, as the gateway has it: with the gateway's certificate from the folder `tls`. */
export async function connectWorkerLane({ address, tls }: { address: string; tls: string }): Promise<LaneClient> {
  const log = pino({ enabled: false })
  const telemetry = await startTelemetry({ service: 'test', version: '0', tracesUrl: '' })
  const identity = await watchIdentity({ file: `${tls}/gateway.pem`, caFile: `${tls}/ca.crt`, log })
  const observer = createCallObserver('client', new Registry(), telemetry)
  const lane = connectLane({ service: InferenceService, peer: 'inference-worker', address, identity, observer, log })
  await until(() => lane.up, 'the lane to the worker')
  return {
    ...lane,
    get up() {
      return lane.up
    },
    close() {
      lane.close()
      identity.close()
    },
  }
}

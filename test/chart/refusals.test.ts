import { expect, test } from 'vitest'
import { requireSecondSwitch } from '../../services/gateway/allow-unrecorded.ts'
import { podsOf, render } from './helm.ts'

const scenario = 'single-node'

test.each([
  [['gateway.outside[0].cidr=0.0.0.0/0', 'gateway.outside[0].ports={443}'], /gateway\.outside: 0\.0\.0\.0\/0 is wider than a \/8: that opens the walls/],
  [['gateway.outside[0].cidr=::/0', 'gateway.outside[0].ports={443}'], /::\/0 is wider than a \/32/],
  [['audit.outside[0].cidr=128.0.0.0/1', 'audit.outside[0].ports={443}'], /audit\.outside and audit\.postgres\.addresses: 128\.0\.0\.0\/1 is wider/],
  [['walls.apiServer.cidrs={0.0.0.0/0}'], /walls\.apiServer\.cidrs: 0\.0\.0\.0\/0 is wider/],
  [['gateway.outside[0].cidr=10.0.0.300/a', 'gateway.outside[0].ports={443}'], /is no CIDR/],
  [['audit.outside[0].cidr=10.0.0.3/33', 'audit.outside[0].ports={443}'], /is no CIDR/],
  [['gateway.outside[0].cidr=1.0.0.0/8', 'gateway.outside[0].ports={443}', 'gateway.outside[1].cidr=2.0.0.0/8', 'gateway.outside[1].ports={443}', 'gateway.outside[2].cidr=3.0.0.0/8', 'gateway.outside[2].ports={443}'], /hold 50331649 addresses together/],
  [['gateway.outside[0].host=sso', 'gateway.outside[0].cidr=10.1.0.0/16', 'gateway.outside[0].ports={443}'], /with a host it must be one address/],
  [['walls.apiServer.cidrs=null'], /The API server's addresses could not be found.*walls\.apiServer\.cidrs/],
  [['audit.replicas=2'], /only with audit\.postgres\.host can several audit services share one log/],
  [['audit.postgres.host=db'], /pods have no DNS/],
  [['tls.mode=secrets'], /tls\.existingSecrets\.[a-z-]+ is empty/],
  [['gateway.names={cli.intramuros.internal}'], /names under intramuros\.internal/],
  [['config.gateway.port=1'], /config\.gateway\.port is set: the chart makes that setting itself/],
  [['config.serve={a}'], /config\.serve is set/],
  [['pools=null'], /missing property 'pools'|pools is empty: name at least one model/],
  [['pools[0].replicas=-1'], /at '\/pools\/0\/replicas': minimum/],
  [['gatway.replicas=2'], /additional properties 'gatway' not allowed/],
  [['pools[0].gpu.cuont=2'], /additional properties 'cuont' not allowed/],
  [['config.gatway.maxQueued=1'], /at '\/config': additional properties 'gatway' not allowed/],
  [['config.gateway.maxQueued=many'], /at '\/config\/gateway\/maxQueued': got string, want integer/],
  [['config.log.level=loud'], /at '\/config\/log\/level': value must be one of/],
  [['pools[0].settings.contextLenght=2048'], /at '\/pools\/0\/settings': additional properties 'contextLenght' not allowed/],
  [['poolDefaults.settings.slots=0.5'], /at '\/poolDefaults\/settings\/slots'/],
  [['gateway.names={https://llm.example.org}'], /at '\/gateway\/names\/0': .* does not match pattern/],
  [['gateway.names={llm.example.org:8443}'], /at '\/gateway\/names\/0'/],
  [['isolation.outside={10.0.0.1:443}'], /at '\/isolation\/outside\/0'/],
  [['isolation.check.targets={foo}'], /at '\/isolation\/check\/targets\/0'/],
  [['isolation.check.schedule=daily-ish'], /at '\/isolation\/check\/schedule'/],
  [['config.audit.onFailure=allow'], /config\.audit\.onFailure is allow.*audit\.iAcceptUnrecordedAnswers/],
  [['config.audit.onFailure=allow', 'walls.iKnowThisOpensTheWalls=true'], /audit\.iAcceptUnrecordedAnswers/],
  [['walls.enabled=false'], /there would be no NetworkPolicies.*walls\.iKnowThisOpensTheWalls/],
  [['isolation.selfCheck=off', 'isolation.check.enabled=false'], /nobody would notice/],
])('%j is refused', async (set, message) => {
  await expect(render({ scenario, set })).rejects.toThrow(message)
})

test.each([
  [['pools[0].source={}'], /at '\/pools\/0\/source': minProperties/],
  [['pools[0].source={"claim":"a","hostPath":"/b"}'], /pools\.small\.source has 2 of claim, hostPath, image and loader/],
  [['pools[0].engine="openai"'], /engine openai and no server\.image/],
  [['pools[0].nodes={"count":2}'], /which only a server of the engine openai can be/],
  [['pools[0].autoscaling={"kind":"keda"}'], /prometheus is empty/],
  [['gateway.ingress={"enabled":true,"host":"other.example"}'], /clients would refuse the certificate/],
  [['gateway.route={"enabled":true}'], /parentRefs/],
])('%j is refused', async (setJson, message) => {
  await expect(render({ scenario, setJson })).rejects.toThrow(message)
})

test('the loud switch opens what nothing else does', async () => {
  const made = await render({ scenario, set: ['gateway.outside[0].cidr=0.0.0.0/0', 'gateway.outside[0].ports={443}', 'walls.iKnowThisOpensTheWalls=true'] })
  expect(JSON.stringify(made)).toContain('"cidr":"0.0.0.0/0"')
})

test.each([
  ['isolation.selfCheck=off', 'isolation.check.enabled=true'],
  ['isolation.selfCheck=notReady', 'isolation.check.enabled=false'],
  ['isolation.selfCheck=off', 'isolation.check.enabled=false', 'walls.enabled=false', 'walls.iKnowThisOpensTheWalls=true'],
])('%s, %s is not', async (...set) => {
  expect(await render({ scenario, set })).not.toEqual([])
})

test('answers without a record take both switches, and then gateways get theirs', async () => {
  const switched = async (...set: string[]) => podsOf(await render({ scenario, set })).flatMap(({ of, spec }) => spec.containers.filter(({ env = [] }) => accepts(env)).map(() => of))
  const accepts = (env: readonly { name: string; value?: string }[]): boolean => {
    try {
      requireSecondSwitch(Object.fromEntries(env.map(({ name, value }) => [name, value])))
      return true
    } catch {
      return false
    }
  }
  expect(await switched('audit.iAcceptUnrecordedAnswers=true')).toEqual([])
  expect(await switched('audit.iAcceptUnrecordedAnswers=true', 'config.audit.onFailure=refuse')).toEqual([])
  expect(await switched('audit.iAcceptUnrecordedAnswers=true', 'config.audit.onFailure=allow')).toEqual(['llm-intramuros-gateway'])
})

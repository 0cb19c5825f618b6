/** Whether services check that they are walled in; the section isolation of the configuration's schema, see schema.ts. */
export const isolation = {
  type: 'object',
  description: 'Whether the outside can be reached: what services that see prompts do about it, and what "intramuros verify isolation" tries; see docs/isolation.md.',
  additionalProperties: false,
  properties: {
    selfCheck: {
      type: 'string',
      enum: ['off', 'notReady', 'refuse'],
      default: 'off',
      description:
        'What a gateway, tokenizer or worker does that reaches an address outside when it starts. refuse: it ends with status 77; notReady: it is not ready until it no longer does. With both it tries again each intervalSeconds, and is not ready while it reaches one.',
    },
    outside: {
      type: 'array',
      items: { type: 'string', format: 'target' },
      default: [],
      description:
        'What is tried outside; empty: public name servers by HTTPS (as DNS over HTTPS is), TCP, UDP and ICMP, and the address where clouds tell credentials, as docs/isolation.md lists them. Others must be ones that surely listen and that an open network would reach: where such an address refuses, a policy or a firewall has spoken.',
    },
    settleSeconds: {
      type: 'integer',
      minimum: 0,
      maximum: 600,
      default: 30,
      unit: 'seconds',
      description: 'Network policies are enforced a moment after a pod has started: for so long the first self-check is repeated until it fails to get out.',
    },
    intervalSeconds: { type: 'integer', minimum: 10, maximum: 86_400, default: 300, unit: 'seconds', description: 'How often the self-check is repeated.' },
  },
} as const

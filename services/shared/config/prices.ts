/** The section `prices`: what usage costs, for `intramuros usage`. */
const price = (description: string) => ({ type: 'number', minimum: 0, maximum: 1_000_000_000, description }) as const

export const prices = {
  type: 'object',
  description: 'What usage costs inside the organisation: shown by "intramuros usage", and nothing else.',
  additionalProperties: false,
  properties: {
    currency: { type: 'string', maxLength: 16, default: '', description: 'What prices are in, for example EUR.' },
    models: {
      type: 'array',
      default: [],
      description: 'Prices by model. What is not given costs nothing; of a model that is not named, the cost is not known.',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['model'],
        properties: {
          model: { type: 'string', minLength: 1, maxLength: 128, description: 'Id of the model.' },
          input: price('A million input tokens that were not cached.'),
          cached: price('A million input tokens that were cached; where it is not given, they cost as much as others.'),
          output: price('A million output tokens.'),
          workerSecond: price("A second of a worker's time."),
        },
      },
    },
  },
} as const

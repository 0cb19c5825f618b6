/** What is embedded. The longest has more than a hundred tokens. */
export const sentences: readonly string[] = [
  'The capital of France is Paris.',
  'Paris, the French capital, lies on the Seine.',
  'a',
  'How do I return an order that was damaged in transit?',
  'Naïve café owners in Zürich charge 5,50 €, don’t they?',
  '漢字とカナ 😀 \t tabs\nand new lines',
  'def add(a, b):\n    return a + b  # unbelievably simple',
  'supercalifragilisticexpialidocious antidisestablishmentarianism',
  '[CLS] special [SEP] tokens [MASK] in [UNK] the [PAD] text',
  'The quick brown fox jumps over the lazy dog. '.repeat(12),
]

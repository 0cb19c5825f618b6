import { beforeAll, expect, test } from 'vitest'
import { edgeRoot, emptyEdge, extendEdge } from '../../services/audit/tlog/edge.ts'
import { leafHash, leafHashes, nodeHash, perfectRoot } from '../../services/audit/tlog/merkle.ts'
import { proveConsistency, proveInclusion, type ReadTile } from '../../services/audit/tlog/proofs.ts'
import { verifyConsistency, verifyInclusion } from '../../services/audit/tlog/verify-proofs.ts'
import { type OutsideTools, outsideTools } from '../support/outside-tools.ts'

/** As test/outside/tools writes it; hashes in base64. */
interface Probe {
  kind: 'inclusion' | 'consistency'
  /** Of the library's eight leaves, or of 70,000. */
  tree: 'vectors' | 'large'
  index: number
  size: number
  leaf: string | null
  root: string
  from: string | null
  proof: string[] | null
}

interface Vectors {
  leaves: string[]
  roots: string[]
  /** By level and index. */
  nodes: string[][]
  proofs: Probe[]
}

let tools: OutsideTools
let vectors: Vectors
beforeAll(async () => {
  tools = await outsideTools()
  vectors = await tools.outside<Vectors>(['vectors'])
})

const bytes = (text: string | null): Buffer => Buffer.from(text ?? '', 'base64')

function isGood({ kind, index, size, leaf, root, from, proof }: Probe): boolean {
  const hashes = (proof ?? []).map(bytes)
  return kind === 'inclusion'
    ? verifyInclusion({ index, size, leaf: bytes(leaf), root: bytes(root), proof: hashes })
    : verifyConsistency({ from: { size: index, root: bytes(from) }, to: { size, root: bytes(root) }, proof: hashes })
}

test('leaves, nodes and roots are those of the library\'s test vectors', () => {
  const { leaves, roots, nodes } = vectors
  expect(leaves.length).toBe(8)
  const hashes = leafHashes(leaves.map(bytes))
  for (let size = 0; size <= 8; size++) expect(edgeRoot(extendEdge(emptyEdge, hashes.subarray(0, size * 32)).edge).toString('base64')).toBe(roots[size])
  expect(leaves.map((leaf) => leafHash(bytes(leaf)).toString('base64'))).toEqual(nodes[0])
  for (const [level, below] of nodes.slice(0, -1).entries()) {
    expect(nodes[level + 1]?.map((_, at) => nodeHash(bytes(below[at * 2] ?? ''), bytes(below[at * 2 + 1] ?? '')).toString('base64'))).toEqual(nodes[level + 1])
  }
  expect(perfectRoot(hashes).toString('base64')).toBe(roots[8])
})

test('every proof that the library makes verifies', () => {
  expect(vectors.proofs.length).toBeGreaterThan(1_800)
  for (const probe of vectors.proofs) expect(isGood(probe), `${probe.kind} ${probe.index} in ${probe.size}`).toBe(true)
})

/** Every way to make another proof of one: numbers, hashes, their order, more and fewer of them. */
function corruptions(probe: Probe): Probe[] {
  const proof = probe.proof ?? []
  const flip = (hash: string | null, bit: number): string => {
    const bad = bytes(hash)
    bad[bit >> 3] = (bad[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    return bad.toString('base64')
  }
  const some = Buffer.alloc(32, 0xab).toString('base64')
  const others: Probe[] = [
    ...[1, 2 ** 20, probe.index, probe.size].map((more) => ({ ...probe, index: probe.index + more })),
    ...[probe.index - 1, probe.index ^ 2].map((index) => ({ ...probe, index })),
    ...[probe.size * 2, Math.floor(probe.size / 2), probe.size - 1, probe.size + 1].map((size) => ({ ...probe, size })),
    { ...probe, root: flip(probe.root, 3) },
    { ...probe, root: some },
    { ...probe, root: '' },
    probe.kind === 'inclusion' ? { ...probe, leaf: flip(probe.leaf, 255) } : { ...probe, from: flip(probe.from, 255) },
    probe.kind === 'inclusion' ? { ...probe, leaf: '' } : { ...probe, from: probe.root, root: probe.from ?? '' },
    ...['', some, probe.root, probe.leaf ?? probe.from ?? ''].flatMap((hash) => [{ ...probe, proof: [...proof, hash] }, { ...probe, proof: [hash, ...proof] }]),
    { ...probe, proof: proof.slice(1) },
    { ...probe, proof: proof.slice(0, -1) },
    { ...probe, proof: [] },
    { ...probe, proof: proof.toReversed() },
    ...proof.flatMap((hash, at) => [{ ...probe, proof: proof.with(at, flip(hash, at)) }, { ...probe, proof: proof.toSpliced(at, 1) }]),
  ]
  return others.filter(({ index, size }) => index >= 0 && size >= 0)
}

test('of corrupted proofs exactly those pass that the library passes', async () => {
  const probes = vectors.proofs.filter((_, at) => at % 7 === 0).flatMap(corruptions)
  expect(probes.length).toBeGreaterThan(5_000)
  const theirs = await tools.outside<string[]>(['check-proofs'], probes)
  const differing = probes.filter((probe, at) => isGood(probe) !== (theirs[at] === '') && !isKnownDifference(probe))
  expect(differing).toEqual([])
  expect(theirs.filter((verdict) => verdict === '').length).toBeLessThan(probes.length / 2)
})

/** The library takes any root for that of the empty tree, and leaves the length of hashes to its callers; we take neither. */
function isKnownDifference({ kind, index, from, root, leaf, proof }: Probe): boolean {
  const hashes = [root, kind === 'inclusion' ? leaf : from, ...(proof ?? [])]
  return (kind === 'consistency' && index === 0) || hashes.some((hash) => bytes(hash).length !== 32)
}

test('every proof that we make from tiles is the library\'s', async () => {
  const leaves = leafHashes(Array.from({ length: 70_000 }, (_, entry) => Buffer.from(`entry ${entry}`)))
  const levels = [leaves]
  for (let level = 1; level <= 2; level++) {
    const below = levels[level - 1] ?? leaves
    levels.push(Buffer.concat(Array.from({ length: Math.floor(below.length / 8192) }, (_, at) => perfectRoot(below.subarray(at * 8192, (at + 1) * 8192)))))
  }
  const tile: ReadTile = async (level, index, width) => levels[level]?.subarray(index * 8192, index * 8192 + width * 32)
  const ofLarge = vectors.proofs.filter((probe) => probe.tree === 'large')
  expect(ofLarge.length).toBeGreaterThan(1_700)
  for (const { kind, index, size, proof } of ofLarge) {
    const ours = kind === 'inclusion' ? await proveInclusion(index, size, tile) : await proveConsistency(index, size, tile)
    expect(ours.map((hash) => hash.toString('base64')), `${kind} ${index} in ${size}`).toEqual(proof ?? [])
  }
})

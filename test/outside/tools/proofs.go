package main

import (
	"fmt"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
)

// Byte slices are base64 in JSON.
type probe struct {
	Kind  string   `json:"kind"`
	Tree  string   `json:"tree"`
	Index uint64   `json:"index"`
	Size  uint64   `json:"size"`
	Leaf  []byte   `json:"leaf"`
	Root  []byte   `json:"root"`
	From  []byte   `json:"from"`
	Proof [][]byte `json:"proof"`
}

// checkProofs has transparency-dev/merkle check proofs: of inclusion of a leaf at an index, of consistency from the size `index`, whose
// root is `from`.
func checkProofs([]string) (any, error) {
	return each(func(one probe) error {
		switch one.Kind {
		case "inclusion":
			return proof.VerifyInclusion(rfc6962.DefaultHasher, one.Index, one.Size, one.Leaf, one.Proof, one.Root)
		case "consistency":
			return proof.VerifyConsistency(rfc6962.DefaultHasher, one.Index, one.Size, one.Proof, one.From, one.Root)
		}
		return fmt.Errorf("unknown kind of proof")
	})
}

type testVectors struct {
	Leaves [][]byte `json:"leaves"`
	// By size, from 0.
	Roots [][]byte `json:"roots"`
	// By level and index.
	Nodes [][][]byte `json:"nodes"`
	// All that the library makes of the trees of these and of `more` leaves.
	Proofs []probe `json:"proofs"`
}

// vectors writes the test vectors of transparency-dev/merkle, and the proofs that its own tree makes of them and of more leaves: entry n is
// the text "entry n". All proofs up to 40 leaves, then some.
func vectors([]string) (any, error) {
	inputs := testonly.LeafInputs()
	result := testVectors{Leaves: inputs, Roots: testonly.RootHashes(), Nodes: testonly.NodeHashes()}
	small := testonly.New(rfc6962.DefaultHasher)
	small.AppendData(inputs...)
	large := testonly.New(rfc6962.DefaultHasher)
	for entry := range 70_000 {
		large.AppendData(fmt.Appendf(nil, "entry %d", entry))
	}
	add := func(name string, tree *testonly.Tree, index, size uint64) error {
		if index < size {
			path, err := tree.InclusionProof(index, size)
			if err != nil {
				return err
			}
			result.Proofs = append(result.Proofs, probe{Kind: "inclusion", Tree: name, Index: index, Size: size, Leaf: tree.LeafHash(index), Root: tree.HashAt(size), Proof: path})
		}
		path, err := tree.ConsistencyProof(index, size)
		if err != nil {
			return err
		}
		result.Proofs = append(result.Proofs, probe{Kind: "consistency", Tree: name, Index: index, Size: size, From: tree.HashAt(index), Root: tree.HashAt(size), Proof: path})
		return nil
	}
	for size := uint64(0); size <= 40; size++ {
		for index := uint64(0); index <= size; index++ {
			if size <= small.Size() {
				if err := add("vectors", small, index, size); err != nil {
					return nil, err
				}
			}
			if err := add("large", large, index, size); err != nil {
				return nil, err
			}
		}
	}
	edges := []uint64{1, 2, 255, 256, 257, 511, 512, 513, 1000, 32_768, 65_535, 65_536, 65_537, 69_999, 70_000}
	for _, size := range edges {
		for _, index := range edges {
			if index <= size {
				if err := add("large", large, index, size); err != nil {
					return nil, err
				}
			}
		}
	}
	return result, nil
}

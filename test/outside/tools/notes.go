package main

import (
	"errors"
	"fmt"

	"github.com/transparency-dev/formats/log"
	f_note "github.com/transparency-dev/formats/note"
	f_proof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

type noteToOpen struct {
	Note string `json:"note"`
	// Public keys: of type 1 for the Go project's own verifier, of type 4 for that of transparency-dev.
	Keys []string `json:"keys"`
	Text string   `json:"text"`
}

// openNotes has golang.org/x/mod/sumdb/note open each note; every key must have signed it, and its text be the one that is expected.
func openNotes([]string) (any, error) {
	return each(func(one noteToOpen) error {
		verifiers := make([]note.Verifier, len(one.Keys))
		for at, key := range one.Keys {
			verifier, err := note.NewVerifier(key)
			if err != nil {
				verifier, err = f_note.NewVerifierForCosignatureV1(key)
			}
			if err != nil {
				return err
			}
			verifiers[at] = verifier
		}
		opened, err := note.Open([]byte(one.Note), note.VerifierList(verifiers...))
		if err != nil {
			return err
		}
		if len(opened.Sigs) != len(one.Keys) {
			return fmt.Errorf("%d of %d keys have signed", len(opened.Sigs), len(one.Keys))
		}
		if opened.Text != one.Text {
			return errors.New("another text")
		}
		return nil
	})
}

type receipt struct {
	Record []byte `json:"record"`
	Proof  string `json:"proof"`
}

// receipts KEY ORIGIN checks that each record is where its tlog-proof says, in the log with that key and origin.
func receipts(arguments []string) (any, error) {
	if len(arguments) != 2 {
		return nil, errors.New("usage: outside receipts KEY ORIGIN")
	}
	verifier, err := note.NewVerifier(arguments[0])
	if err != nil {
		return nil, err
	}
	return each(func(one receipt) error {
		var read f_proof.TLogProof
		if err := read.Unmarshal([]byte(one.Proof)); err != nil {
			return err
		}
		checkpoint, _, _, err := log.ParseCheckpoint(read.Checkpoint, arguments[1], verifier)
		if err != nil {
			return err
		}
		path := make([][]byte, len(read.Hashes))
		for at := range read.Hashes {
			path[at] = read.Hashes[at][:]
		}
		return proof.VerifyInclusion(rfc6962.DefaultHasher, read.Index, checkpoint.Size, rfc6962.DefaultHasher.HashLeaf(one.Record), path, checkpoint.Hash)
	})
}

type toSign struct {
	Text string `json:"text"`
	// Secret keys: of type 1, then of type 4.
	Log     string `json:"log"`
	Witness string `json:"witness"`
}

// sign signs a text with a log's key and a witness's.
func sign([]string) (any, error) {
	one, err := read[toSign]()
	if err != nil {
		return nil, err
	}
	signer, err := note.NewSigner(one.Log)
	if err != nil {
		return nil, err
	}
	cosigner, err := f_note.NewSignerForCosignatureV1(one.Witness)
	if err != nil {
		return nil, err
	}
	signed, err := note.Sign(&note.Note{Text: one.Text}, signer, cosigner)
	return string(signed), err
}

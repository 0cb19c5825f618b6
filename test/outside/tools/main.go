// Command outside checks what Intramuros writes with the libraries of others. Each subcommand reads one JSON value from standard input and
// writes one to standard output; a verdict is "" for good, else the library's error.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	commands := map[string]func(arguments []string) (any, error){
		"vectors":      vectors,
		"check-proofs": checkProofs,
		"open-notes":   openNotes,
		"receipts":     receipts,
		"sign":         sign,
		"agent":        agentOfKey,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fail(fmt.Errorf("usage: outside COMMAND, see main.go"))
	}
	result, err := commands[os.Args[1]](os.Args[2:])
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		fail(err)
	}
}

func read[T any]() (T, error) {
	var value T
	decoder := json.NewDecoder(os.Stdin)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&value)
	return value, err
}

// each gives the verdict on every one of the things that were read.
func each[T any](check func(T) error) (any, error) {
	things, err := read[[]T]()
	if err != nil {
		return nil, err
	}
	verdicts := make([]string, len(things))
	for at, thing := range things {
		if err := check(thing); err != nil {
			verdicts[at] = err.Error()
		}
	}
	return verdicts, nil
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

package main

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"net"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// agentOfKey SOCKET holds a new Ed25519 key for litewitness, which takes its key from an SSH agent. It writes the key's fingerprint, and
// answers until it is killed.
func agentOfKey(arguments []string) (any, error) {
	if len(arguments) != 1 {
		return nil, errors.New("usage: outside agent SOCKET")
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", arguments[0])
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				fail(err)
			}
			go func() { _ = agent.ServeAgent(keyring, connection) }()
		}
	}()
	if err := json.NewEncoder(os.Stdout).Encode(ssh.FingerprintSHA256(key)); err != nil {
		return nil, err
	}
	select {}
}

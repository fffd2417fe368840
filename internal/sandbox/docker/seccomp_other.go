//go:build !linux

package docker

import "errors"

// seccompProfile fails: the egress sockets need an Engine on this very host,
// so a driver on another system could run nothing anyway.
func seccompProfile() (string, error) {
	return "", errors.New("the sandbox runs on Linux only")
}

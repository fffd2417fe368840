//go:build !linux

package docker

import "errors"

// seccompProfile returns an error. The egress sockets need an Engine on the same host, so a driver on another system
// cannot run a job.
func seccompProfile() (string, error) {
	return "", errors.New("the sandbox runs only on Linux")
}

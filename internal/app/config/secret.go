package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// SecretFileSuffix makes the name of a secret variable that of its other form: a variable that names a file with the
// secret. So no secret has to be in the environment.
const SecretFileSuffix = "_FILE"

// LookupSecret reads a secret variable, or its file, from the environment. The secret is empty if neither is set.
func LookupSecret(name string) (string, error) {
	return readSecret(name, os.Getenv(name), os.Getenv(name+SecretFileSuffix))
}

// maxSecretFileSize is in bytes.
const maxSecretFileSize = 64 << 10

// byteOrderMark is what some editors write at the start of a UTF-8 file. It is invisible, and no secret begins with it.
var byteOrderMark = []byte("\ufeff")

// readSecret returns the value of a secret variable, or, if that is empty, the content of the file; a line break at its
// end does not count. Its errors name the variables and the file, and never contain the secret.
func readSecret(name, value, file string) (string, error) {
	fileVariable := name + SecretFileSuffix
	switch {
	case file == "":
		return value, nil
	case value != "":
		return "", fmt.Errorf("%s and %s are both set; set one of them", name, fileVariable)
	}
	data, err := ReadSecretFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", fileVariable, err)
	}
	secret := bytes.TrimRight(data, "\r\n")
	switch {
	case bytes.HasPrefix(secret, byteOrderMark):
		return "", fmt.Errorf("%s: the file %s starts with a byte order mark: save it as UTF-8 without one", fileVariable, file)
	case len(secret) == 0:
		return "", fmt.Errorf("%s: the file %s is empty", fileVariable, file)
	}
	return string(secret), nil
}

// ReadSecretFile reads a regular file of at most 64 KiB. It refuses a named pipe, a device and a socket, whose reader
// may wait for ever.
func ReadSecretFile(name string) (_ []byte, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	data, err := io.ReadAll(io.LimitReader(file, maxSecretFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSecretFileSize {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxSecretFileSize)
	}
	return data, nil
}

package config

import (
	"bytes"
	"fmt"
	"os"
)

// SecretFileSuffix makes the name of a secret variable that of its other form: a variable that names a file with the
// secret. So no secret has to be in the environment.
const SecretFileSuffix = "_FILE"

// LookupSecret reads a secret variable, or its file, from the environment. The secret is empty if neither is set.
func LookupSecret(name string) (string, error) {
	return readSecret(name, os.Getenv(name), os.Getenv(name+SecretFileSuffix))
}

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
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", fileVariable, err)
	}
	secret := bytes.TrimRight(data, "\r\n")
	if len(secret) == 0 {
		return "", fmt.Errorf("%s: the file %s is empty", fileVariable, file)
	}
	return string(secret), nil
}

package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/airlock-run/airlock/client"
)

// givenFiles reads files of this machine for an agent, which finds them by their names alone.
func givenFiles(names []string) ([]client.GivenFile, error) {
	var given []client.GivenFile
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("%w: --file: %w", errUsage, err)
		}
		f := client.GivenFile{Path: filepath.Base(name), Content: string(data)}
		if !utf8.Valid(data) {
			f.Content, f.Encoding = base64.StdEncoding.EncodeToString(data), client.Base64
		}
		given = append(given, f)
	}
	return given, nil
}

package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/client"
)

// readInputFiles reads files of this machine for an agent. It finds them in its folder, by the last part of their
// paths.
func readInputFiles(names []string) ([]client.InputFile, error) {
	var inputFiles []client.InputFile
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("%w: --file: %w", errUsage, err)
		}
		f := client.InputFile{Path: filepath.Base(name), Content: string(data)}
		if !utf8.Valid(data) {
			f.Content, f.Encoding = base64.StdEncoding.EncodeToString(data), client.Base64
		}
		inputFiles = append(inputFiles, f)
	}
	return inputFiles, nil
}

// textOrStdin returns the text, or the content of standard input if the text is "-".
func textOrStdin(cmd *cobra.Command, text string) (string, error) {
	if text != "-" {
		return text, nil
	}
	read, err := io.ReadAll(cmd.InOrStdin())
	return string(read), err
}

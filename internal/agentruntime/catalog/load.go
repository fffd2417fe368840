package catalog

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// builtin are the runtimes where the operator names no file.
//
//go:embed builtin.yaml
var builtinYAML []byte

// Builtin returns the runtimes that Airlock comes with.
func Builtin() Catalog {
	c, err := Parse(builtinYAML)
	if err != nil {
		panic(err) // a mistake in this package, which its tests would show
	}
	return c
}

// maxFile bounds a file of runtimes, in bytes.
const maxFileSize = 1 << 20

// Load reads a file; the empty path means Builtin.
func Load(path string) (Catalog, error) {
	if path == "" {
		return Builtin(), nil
	}
	file, err := os.Open(path)
	if err != nil {
		return Catalog{}, fmt.Errorf("runtimes: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if err == nil && len(data) > maxFileSize {
		err = fmt.Errorf("over %d bytes", maxFileSize)
	}
	if err != nil {
		return Catalog{}, fmt.Errorf("runtimes: read %s: %w", path, err)
	}
	c, err := Parse(data)
	if err != nil {
		return Catalog{}, fmt.Errorf("runtimes: %s: %w", path, err)
	}
	return c, nil
}

// Parse reads a file's text. Its error has a line for every mistake, each with
// the line of the file that it is in.
func Parse(data []byte) (Catalog, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	var c Catalog
	err := decoder.Decode(&c)
	var typeErr *yaml.TypeError
	if err != nil && !errors.As(err, &typeErr) && !errors.Is(err, io.EOF) {
		return Catalog{}, err // the text is no YAML; nothing in it can be judged
	}
	var errs validationErrors
	if typeErr != nil {
		for _, message := range typeErr.Errors {
			errs = append(errs, plainYAMLError(message))
		}
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		errs = append(errs, "there is more than one document")
	}
	var tree yaml.Node
	if err := yaml.Unmarshal(data, &tree); err != nil {
		return Catalog{}, err
	}
	errs = append(errs, validate(c, position{&tree})...)
	if len(errs) > 0 {
		slices.SortStableFunc(errs, func(a, b string) int { return cmp.Compare(lineNumber(a), lineNumber(b)) })
		return Catalog{}, errs
	}
	return c, nil
}

// mistakes are all that is wrong with a file.
type validationErrors []string

func (m validationErrors) Error() string { return strings.Join(m, "\n") }

// lineOf reads where a mistake is; 0 is what the whole file is about.
func lineNumber(mistake string) (line int) {
	_, _ = fmt.Sscanf(mistake, "line %d:", &line)
	return line
}

// plain takes the names of Go's types out of what the decoder says.
func plainYAMLError(message string) string {
	if before, _, found := strings.Cut(message, " not found in type "); found {
		return strings.Replace(before, "field ", "there is no field ", 1)
	}
	before, _, _ := strings.Cut(message, " in type catalog.")
	before, _, _ = strings.Cut(before, " into ")
	return strings.Replace(before, "cannot unmarshal", "wrong type:", 1)
}

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
var builtin []byte

// Builtin returns the runtimes that Airlock comes with.
func Builtin() Catalog {
	c, err := Parse(builtin)
	if err != nil {
		panic(err) // a mistake in this package, which its tests would show
	}
	return c
}

// maxFile bounds a file of runtimes, in bytes.
const maxFile = 1 << 20

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
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("over %d bytes", maxFile)
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
	var mistyped *yaml.TypeError
	if err != nil && !errors.As(err, &mistyped) && !errors.Is(err, io.EOF) {
		return Catalog{}, err // the text is no YAML; nothing in it can be judged
	}
	var found mistakes
	if mistyped != nil {
		for _, one := range mistyped.Errors {
			found = append(found, plain(one))
		}
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		found = append(found, "there is more than one document")
	}
	var tree yaml.Node
	if err := yaml.Unmarshal(data, &tree); err != nil {
		return Catalog{}, err
	}
	found = append(found, check(c, position{&tree})...)
	if len(found) > 0 {
		slices.SortStableFunc(found, func(a, b string) int { return cmp.Compare(lineOf(a), lineOf(b)) })
		return Catalog{}, found
	}
	return c, nil
}

// mistakes are all that is wrong with a file.
type mistakes []string

func (m mistakes) Error() string { return strings.Join(m, "\n") }

// lineOf reads where a mistake is; 0 is what the whole file is about.
func lineOf(mistake string) (line int) {
	_, _ = fmt.Sscanf(mistake, "line %d:", &line)
	return line
}

// plain takes the names of Go's types out of what the decoder says.
func plain(message string) string {
	if before, _, found := strings.Cut(message, " not found in type "); found {
		return strings.Replace(before, "field ", "there is no field ", 1)
	}
	before, _, _ := strings.Cut(message, " in type catalog.")
	before, _, _ = strings.Cut(before, " into ")
	return strings.Replace(before, "cannot unmarshal", "wrong type:", 1)
}

package catalog

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// builtinYAML declares the runtimes that apply if the operator names no file.
//
//go:embed builtin.yaml
var builtinYAML []byte

// Builtin returns the runtimes that are part of Airlock.
func Builtin() Catalog {
	c, err := Parse(builtinYAML)
	if err != nil {
		panic(err) // builtin.yaml is invalid; the tests of this package find that
	}
	return c
}

// maxFileSize bounds a file of runtimes, in bytes.
const maxFileSize = 1 << 20

// Load reads the file at path. An empty path means Builtin.
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
		err = fmt.Errorf("the file has more than %d bytes", maxFileSize)
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

// Parse reads the text of a file. Its error has one line per mistake, each of which begins with the line number in the
// file, and is sorted by it.
func Parse(data []byte) (Catalog, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	var c Catalog
	err := decoder.Decode(&c)
	var typeErr *yaml.TypeError
	if err != nil && !errors.As(err, &typeErr) && !errors.Is(err, io.EOF) {
		return Catalog{}, err // the text is not YAML, so nothing else can be validated
	}
	var errs validationErrors
	if typeErr != nil {
		for _, message := range typeErr.Errors {
			errs = append(errs, plainYAMLError(message))
		}
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		errs = append(errs, "the file has more than one document")
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

// validationErrors lists every mistake in a file.
type validationErrors []string

func (m validationErrors) Error() string { return strings.Join(m, "\n") }

// lineNumber returns the line number at the start of a message, or 0 if the message is about the whole file.
func lineNumber(message string) (line int) {
	_, _ = fmt.Sscanf(message, "line %d:", &line)
	return line
}

// plainYAMLError rewrites an error of the decoder without the names of Go types. An unknown field becomes a list of the
// known ones.
func plainYAMLError(message string) string {
	if before, typeName, found := strings.Cut(message, " not found in type "); found {
		return strings.Replace(before, "field ", "unknown field ", 1) + "; known fields: " + strings.Join(fieldNames[typeName], ", ")
	}
	before, _, _ := strings.Cut(message, " in type catalog.")
	before, _, _ = strings.Cut(before, " into ")
	return strings.Replace(before, "cannot unmarshal", "wrong type:", 1)
}

// fieldNames lists the fields of each mapping in the file, by the Go type that the decoder names in its errors.
var fieldNames = yamlFieldNames(Catalog{}, Runtime{}, Limits{}, Conversation{}, Resume{}, Egress{}, Upstream{}, Price{})

func yamlFieldNames(structs ...any) map[string][]string {
	names := map[string][]string{}
	for _, s := range structs {
		t := reflect.TypeOf(s)
		for i := range t.NumField() {
			names[t.String()] = append(names[t.String()], t.Field(i).Tag.Get("yaml"))
		}
	}
	return names
}

package app

import (
	"cmp"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// variable is what is said of one on the page, or in the code.
type variable struct {
	fallback string // its default
	readers  string
}

var (
	row    = regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| (.*?) ?\\| (.+?) \\| .+ \\|$")
	getenv = regexp.MustCompile(`os\.(?:Getenv|LookupEnv)\("([A-Z_]+)"\)`)
)

// The page names each variable that a program reads, and no other, with its default and its readers.
func TestThePageOfTheConfiguration(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	require.NoError(t, err)
	said := map[string]variable{}
	for _, r := range row.FindAllStringSubmatch(string(page), -1) {
		require.NotContains(t, said, r[1], "stands twice")
		said[r[1]] = variable{fallback: strings.ReplaceAll(r[2], "`", ""), readers: r[3]}
	}

	read := map[string]variable{
		"LOG_LEVEL":       {fallback: "info", readers: "every program"},
		"GOGC":            {fallback: "100; 400 airlock dev, emulators", readers: "every program"},
		"AIRLOCK_URL":     {fallback: "http://127.0.0.1:8000", readers: "airlock"},
		"AIRLOCK_API_KEY": {readers: "airlock"},
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(read)), literals(t), "what is read without a struct")
	api, executor := fields(reflect.TypeFor[API]()), fields(reflect.TypeFor[Executor]())
	for name, fallback := range api {
		read[name] = variable{fallback: fallback, readers: "API"}
		if other, both := executor[name]; both {
			read[name] = variable{fallback: fallback, readers: "API, executor"}
			if other != fallback {
				read[name] = variable{fallback: fallback + " API, " + other + " executor", readers: "API, executor"}
			}
		}
	}
	for name, fallback := range executor {
		if _, both := api[name]; !both {
			read[name] = variable{fallback: fallback, readers: "executor"}
		}
	}
	// -1 stands for a default that depends on something else.
	read["RATE_LIMIT"] = variable{fallback: "100", readers: "API"}
	read["EXECUTOR_RESERVED"] = variable{readers: "executor"}
	require.Equal(t, read, said)

	for _, operators := range []reflect.Type{reflect.TypeFor[Redrive](), reflect.TypeFor[Issuer]()} {
		for name := range fields(operators) {
			require.Contains(t, said, name)
		}
	}
}

// fields returns the variables that a configuration is read from, with their defaults.
func fields(t reflect.Type) map[string]string {
	found := map[string]string{}
	for f := range t.Fields() {
		if tag, ok := f.Tag.Lookup("env"); ok {
			name, _, _ := strings.Cut(tag, ",")
			found[name] = f.Tag.Get("envDefault")
		} else if f.Type.Kind() == reflect.Struct {
			maps.Copy(found, fields(f.Type))
		}
	}
	return found
}

// literals returns the variables that the programs' sources ask for by name.
func literals(t *testing.T) (found []string) {
	t.Helper()
	for _, dir := range []string{"../../cmd", "../../client", "../../internal"} {
		require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() && d.Name() == "agent-offline" { // runs in a sandbox
				return cmp.Or(err, fs.SkipDir)
			}
			if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			source, err := os.ReadFile(path)
			for _, m := range getenv.FindAllStringSubmatch(string(source), -1) {
				found = append(found, m[1])
			}
			return err
		}))
	}
	return found
}

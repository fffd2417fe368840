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
type documentedVariable struct {
	defaultValue string // its default
	readers      string
}

var (
	tableRow   = regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| (.*?) ?\\| (.+?) \\| .+ \\|$")
	getenvCall = regexp.MustCompile(`os\.(?:Getenv|LookupEnv)\("([A-Z_]+)"\)`)
)

// The page names each variable that a program reads, and no other, with its default and its readers.
func TestConfigurationPageMatchesCode(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	require.NoError(t, err)
	documented := map[string]documentedVariable{}
	for _, r := range tableRow.FindAllStringSubmatch(string(page), -1) {
		require.NotContains(t, documented, r[1], "stands twice")
		documented[r[1]] = documentedVariable{defaultValue: strings.ReplaceAll(r[2], "`", ""), readers: r[3]}
	}

	variables := map[string]documentedVariable{
		"AIRLOCK_LOG_LEVEL": {defaultValue: "info", readers: "every program"},
		"GOGC":              {defaultValue: "100; 400 airlock dev, emulators", readers: "every program"},
		"AIRLOCK_URL":       {defaultValue: "http://127.0.0.1:8000", readers: "airlock"},
		"AIRLOCK_API_KEY":   {readers: "airlock"},
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(variables)), getenvNames(t), "what is read without a struct")
	api, executor := envFields(reflect.TypeFor[API]()), envFields(reflect.TypeFor[Executor]())
	for name, fallback := range api {
		variables[name] = documentedVariable{defaultValue: fallback, readers: "API"}
		if other, both := executor[name]; both {
			variables[name] = documentedVariable{defaultValue: fallback, readers: "API, executor"}
			if other != fallback {
				variables[name] = documentedVariable{defaultValue: fallback + " API, " + other + " executor", readers: "API, executor"}
			}
		}
	}
	for name, fallback := range executor {
		if _, both := api[name]; !both {
			variables[name] = documentedVariable{defaultValue: fallback, readers: "executor"}
		}
	}
	// -1 stands for a default that depends on something else.
	variables["AIRLOCK_RATE_LIMIT"] = documentedVariable{defaultValue: "100", readers: "API"}
	variables["AIRLOCK_EXECUTOR_RESERVED_SLOTS"] = documentedVariable{readers: "executor"}
	require.Equal(t, variables, documented)

	for _, operators := range []reflect.Type{reflect.TypeFor[Redrive](), reflect.TypeFor[KeyIssuer]()} {
		for name := range envFields(operators) {
			require.Contains(t, documented, name)
		}
	}
}

// fields returns the variables that a configuration is read from, with their defaults.
func envFields(t reflect.Type) map[string]string {
	found := map[string]string{}
	for f := range t.Fields() {
		if tag, ok := f.Tag.Lookup("env"); ok {
			name, _, _ := strings.Cut(tag, ",")
			found[name] = f.Tag.Get("envDefault")
		} else if f.Type.Kind() == reflect.Struct {
			maps.Copy(found, envFields(f.Type))
		}
	}
	return found
}

// literals returns the variables that the programs' sources ask for by name.
func getenvNames(t *testing.T) (found []string) {
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
			for _, m := range getenvCall.FindAllStringSubmatch(string(source), -1) {
				found = append(found, m[1])
			}
			return err
		}))
	}
	return found
}

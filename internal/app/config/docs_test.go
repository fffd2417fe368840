package config_test

import (
	"cmp"
	"fmt"
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

	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/app/operator"
)

// documented is what docs/configuration.md, or the code, says of a variable.
type documented struct {
	defaultValue string
	readers      string
}

var (
	tableRow   = regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| (.*?) ?\\| (.+?) \\| .+ \\|$")
	getenvCall = regexp.MustCompile(`os\.(?:Getenv|LookupEnv)\("([A-Z_]+)"\)`)
	secretCall = regexp.MustCompile(`config\.LookupSecret\("([A-Z_]+)"\)`)
)

// The page names each variable that a program reads, and no other, with its default and its readers.
func TestConfigurationPageMatchesCode(t *testing.T) {
	page, err := os.ReadFile("../../../docs/configuration.md")
	require.NoError(t, err)
	onPage := map[string]documented{}
	for _, r := range tableRow.FindAllStringSubmatch(string(page), -1) {
		if _, found := onPage[r[1]]; found {
			t.Errorf("docs/configuration.md has two rows for %s: remove one", r[1])
		}
		onPage[r[1]] = documented{defaultValue: strings.ReplaceAll(r[2], "`", ""), readers: r[3]}
	}

	inCode := map[string]documented{
		"AIRLOCK_LOG_LEVEL":    {defaultValue: "info", readers: "every program"},
		"GOGC":                 {defaultValue: "100; 400 airlock dev, emulators", readers: "every program"},
		"AIRLOCK_URL":          {defaultValue: "http://127.0.0.1:8000", readers: "airlock"},
		"AIRLOCK_API_KEY":      {readers: "airlock"},
		"AIRLOCK_API_KEY_FILE": {readers: "airlock"},
		"PORT":                 {readers: "API"},
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(inCode)), getenvNames(t), "variables that are read without a struct")
	api, executor := envFields(reflect.TypeFor[config.API]()), envFields(reflect.TypeFor[config.Executor]())
	for name, fallback := range api {
		inCode[name] = documented{defaultValue: fallback, readers: "API"}
		if other, both := executor[name]; both {
			inCode[name] = documented{defaultValue: fallback, readers: "API, executor"}
			if other != fallback {
				inCode[name] = documented{defaultValue: fallback + " API, " + other + " executor", readers: "API, executor"}
			}
		}
	}
	for name, fallback := range executor {
		if _, both := api[name]; !both {
			inCode[name] = documented{defaultValue: fallback, readers: "executor"}
		}
	}
	// -1 stands for a default that depends on other settings.
	inCode["AIRLOCK_RATE_LIMIT"] = documented{defaultValue: "100", readers: "API"}
	inCode["AIRLOCK_EXECUTOR_RESERVED_SLOTS"] = documented{readers: "executor"}
	for name, want := range inCode {
		if got, found := onPage[name]; !found {
			t.Errorf("add this row to docs/configuration.md: %s", want.row(name))
		} else if got != want {
			t.Errorf("change the row in docs/configuration.md to: %s\nit says: %s", want.row(name), got.row(name))
		}
	}
	for name := range onPage {
		if _, found := inCode[name]; !found {
			t.Errorf("remove the row of %s from docs/configuration.md: no program reads the variable", name)
		}
	}

	for _, operators := range []reflect.Type{reflect.TypeFor[operator.Redrive](), reflect.TypeFor[operator.KeyIssuer]()} {
		for name := range envFields(operators) {
			if _, found := onPage[name]; !found {
				t.Errorf("add a row for %s, which %s reads, to docs/configuration.md", name, operators)
			}
		}
	}
}

// row returns the row of the page for a variable, without its last column.
func (d documented) row(name string) string {
	defaultValue := d.defaultValue
	if defaultValue != "" {
		defaultValue = "`" + defaultValue + "`"
	}
	return fmt.Sprintf("| `%s` | %s | %s | … |", name, defaultValue, d.readers)
}

// envFields returns the variables that a configuration is read from, with their defaults.
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

// getenvNames returns the variables that the programs' sources read by name. AIRLOCK_LISTEN_ADDR is a field as well.
func getenvNames(t *testing.T) (found []string) {
	t.Helper()
	for _, dir := range []string{"../../../cmd", "../../../client", "../../../internal"} {
		require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() && d.Name() == "agent-offline" { // runs in a sandbox
				return cmp.Or(err, fs.SkipDir)
			}
			if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			source, err := os.ReadFile(path)
			for _, m := range getenvCall.FindAllStringSubmatch(string(source), -1) {
				if m[1] != "AIRLOCK_LISTEN_ADDR" {
					found = append(found, m[1])
				}
			}
			for _, m := range secretCall.FindAllStringSubmatch(string(source), -1) {
				found = append(found, m[1], m[1]+config.SecretFileSuffix)
			}
			return err
		}))
	}
	return found
}

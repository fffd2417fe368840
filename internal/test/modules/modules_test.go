// Package modules has no code: its tests hold the borders between the Go modules of this repository.
package modules

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	module     = "github.com/airlock-run/airlock"
	repository = "../../.."
)

func goTool(t *testing.T, dir string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", args...)
	command.Dir = dir
	command.Env = append(os.Environ(), "GOWORK=off")
	out, err := command.CombinedOutput()
	require.NoError(t, err, "go %s: %s", strings.Join(args, " "), out)
	return string(out)
}

// heavy are the modules that a program with the client must not get.
var heavy = regexp.MustCompile(`(?m)\bgithub\.com/(cockroachdb/pebble|docker/docker|getsentry)|\bcloud\.google\.com/go\b|\bgoogle\.golang\.org/grpc\b`)

func TestClientModuleDoesNotRequireServerLibraries(t *testing.T) {
	client := filepath.Join(repository, "client")
	require.NotRegexp(t, heavy, goTool(t, client, "list", "-deps", "-test", "./..."))
	require.NotRegexp(t, heavy, goTool(t, client, "mod", "graph"))
}

func TestClientModuleImportsNothingOfTheProduct(t *testing.T) {
	for path := range strings.FieldsSeq(goTool(t, filepath.Join(repository, "client"), "list", "-deps", "-test", "./...")) {
		if strings.HasPrefix(path, module) {
			require.True(t, strings.HasPrefix(path, module+"/client"), "client imports %s", path)
		}
	}
}

// The modules can be used from outside of the repository, by nothing but their public packages.
func TestProgramsOutsideTheRepositoryBuildAgainstEachModule(t *testing.T) {
	for name, source := range map[string]string{
		"client": `package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/airlock-run/airlock/client"
)

func main() {
	c, err := client.New("http://127.0.0.1:1")
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = c.Execution(ctx, "exe_none")
	fmt.Println(errors.Is(err, context.Canceled))
}
`,
		"emulator": `package main

import (
	"context"
	"fmt"

	"github.com/airlock-run/airlock/emulator"
)

func main() {
	e, err := emulator.Start(context.Background(), emulator.Options{PubSub: "127.0.0.1:0", Firestore: "127.0.0.1:0"})
	if err != nil {
		panic(err)
	}
	fmt.Println(e.PubSub != e.Firestore)
	if err := e.Close(); err != nil {
		panic(err)
	}
}
`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, dir := source, t.TempDir()
			local, err := filepath.Abs(filepath.Join(repository, name))
			require.NoError(t, err)
			sums, err := os.ReadFile(filepath.Join(local, "go.sum"))
			require.NoError(t, err)
			own, err := os.ReadFile(filepath.Join(local, "go.mod"))
			require.NoError(t, err)
			// The same versions as the module's own, so that nothing has to be looked up.
			requires := strings.Join(regexp.MustCompile(`(?ms)^require .*?^\)|^require [^(\n]*$`).FindAllString(string(own), -1), "\n")
			write(t, dir, "go.mod", "module example.com/outside\n\ngo 1.26.0\n\nrequire "+module+"/"+name+" v0.0.0\n\nreplace "+
				module+"/"+name+" => "+local+"\n\n"+requires+"\n")
			write(t, dir, "go.sum", string(sums))
			write(t, dir, "main.go", source)
			require.Equal(t, "true\n", goTool(t, dir, "run", "-mod=mod", "."))
		})
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
}

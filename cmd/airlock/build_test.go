package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A variable that has moved would keep its default without any error of the linker. So the test builds with the flag
// that the Makefile and the Dockerfiles use.
func TestVersionIsLinkedIn(t *testing.T) {
	t.Parallel()
	flag := regexp.MustCompile(`-X (\S+)=\$`)
	var variable string
	for _, file := range []string{"Makefile", "Dockerfile.api", "Dockerfile.executor"} {
		text, err := os.ReadFile(filepath.Join("../..", file))
		require.NoError(t, err)
		found := flag.FindStringSubmatch(string(text))
		require.NotNil(t, found, file)
		if variable == "" {
			variable = found[1]
		}
		require.Equal(t, variable, found[1], file)
	}
	program := filepath.Join(t.TempDir(), "airlock")
	build := exec.Command("go", "build", "-tags", "disable_grpc_modules", "-ldflags", "-X "+variable+"=v1.2.3-test", "-o", program, ".")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	out, err = exec.Command(program, "--version").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, "airlock version v1.2.3-test\n", string(out))
}

// The services link only what they need. Pebble is the emulators' store, and brings sentry along.
func TestServicesDoNotLinkOtherParts(t *testing.T) {
	t.Parallel()
	emulators := []string{"github.com/airlock-run/airlock/emulator", "github.com/cockroachdb/", "github.com/getsentry/"}
	for program, excluded := range map[string][]string{
		// Package sandbox itself has only types, which the configuration uses.
		"../api": append([]string{
			"github.com/docker/docker", "github.com/airlock-run/airlock/internal/sandbox/", "github.com/airlock-run/airlock/internal/executor",
			"github.com/airlock-run/airlock/internal/gateway", "github.com/airlock-run/airlock/internal/background",
		}, emulators...),
		"../executor": append([]string{
			"github.com/labstack/", "github.com/airlock-run/airlock/web", "github.com/airlock-run/airlock/internal/app/apiserver",
		}, emulators...),
		// Configuration is read by every program, and by their tests.
		"../../internal/app/config": append([]string{
			"github.com/docker/", "go.opentelemetry.io/", "google.golang.org/", "cloud.google.com/", "go.uber.org/",
			"github.com/airlock-run/airlock/internal/api", "github.com/airlock-run/airlock/internal/agentruntime",
			"github.com/airlock-run/airlock/internal/gateway", "github.com/airlock-run/airlock/internal/store",
		}, emulators...),
	} {
		out, err := exec.Command("go", "list", "-deps", "-tags", "disable_grpc_modules", program).Output()
		require.NoError(t, err)
		packages := strings.Fields(string(out))
		require.Greater(t, len(packages), 50, program)
		for _, pkg := range packages {
			for _, prefix := range excluded {
				require.False(t, strings.HasPrefix(pkg, prefix), "%s links %s", program, pkg)
			}
		}
	}
	// Without the build tag, Google's storage client links its gRPC transport: 13 MB of each program.
	out, err := exec.Command("go", "list", "-deps", "-tags", "disable_grpc_modules", "../api", "../executor", ".").Output()
	require.NoError(t, err)
	require.NotContains(t, string(out), "github.com/envoyproxy/")
}

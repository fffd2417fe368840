package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMisspeltVariableIsRefused(t *testing.T) {
	for name, meant := range map[string]string{
		"AIRLOCK_EXECUTOR_SLOT":           "AIRLOCK_EXECUTOR_SLOTS",
		"AIRLOCK_EXECTUOR_SLOTS":          "AIRLOCK_EXECUTOR_SLOTS",
		"AIRLOCK_WARMPOOL_SIZE":           "AIRLOCK_WARM_POOL_SIZE",
		"AIRLOCK_TENANTS_MAX_RUNNING":     "AIRLOCK_TENANT_MAX_RUNNING",
		"AIRLOCK_LISTEN_ADR":              "AIRLOCK_LISTEN_ADDR",
		"AIRLOCK_API_KEY_PEPER":           "AIRLOCK_API_KEY_PEPPER",
		"AIRLOCK_URLS":                    "AIRLOCK_URL",
		"AIRLOCK_APIKEY":                  "AIRLOCK_API_KEY",
		"AIRLOCK_OUR_OPENAI_KEYS":         "AIRLOCK_OUR_OPENAI_KEY",
		"AIRLOCK_WEBHOOKS_ALLOW_PRIVATES": "AIRLOCK_WEBHOOK_ALLOW_PRIVATE",
		// Words are missing.
		"AIRLOCK_LISTEN":         "AIRLOCK_LISTEN_ADDR",
		"AIRLOCK_AUTH":           "AIRLOCK_AUTH_MODE",
		"AIRLOCK_METRICS_LISTEN": "AIRLOCK_METRICS_LISTEN_ADDR",
		"AIRLOCK_KEY_PEPPER":     "AIRLOCK_API_KEY_PEPPER",
		"AIRLOCK_TENANT_RUNNING": "AIRLOCK_TENANT_MAX_RUNNING",
	} {
		_, err := CheckNames([]string{name + "=1"}, "AIRLOCK_OUR_OPENAI_KEY")
		require.EqualError(t, err, "unknown variable "+name+": did you mean "+meant+"?")
	}
	_, err := CheckNames([]string{"AIRLOCK_URLS=1", "AIRLOCK_EXECUTOR_SLOT=1"})
	require.EqualError(t, err, "unknown variable AIRLOCK_EXECUTOR_SLOT: did you mean AIRLOCK_EXECUTOR_SLOTS?\n"+
		"unknown variable AIRLOCK_URLS: did you mean AIRLOCK_URL?", "all at once, sorted")
}

func TestOtherUnknownVariablesAreReturned(t *testing.T) {
	unknown, err := CheckNames([]string{"AIRLOCK_WHATEVER=1", "AIRLOCK_UID=2", "AIRLOCK_IMAGE=6", "AIRLOCK_=3", "AIRLOCK=4", "WARM_POOL_SIZE=5", "AIRLOCK_BILLING="})
	require.NoError(t, err)
	require.Equal(t, []string{"AIRLOCK_", "AIRLOCK_BILLING", "AIRLOCK_IMAGE", "AIRLOCK_UID", "AIRLOCK_WHATEVER"}, unknown)
}

// One file of variables may serve the programs, the command line, the tests and the scripts.
func TestKnownVariables(t *testing.T) {
	unknown, err := CheckNames([]string{
		"AIRLOCK_EXECUTOR_SLOTS=1", "AIRLOCK_LISTEN_ADDR=1", "AIRLOCK_URL=1", "AIRLOCK_API_KEY=1", "AIRLOCK_LOG_LEVEL=1",
		"AIRLOCK_FAILPOINT=claimed", "AIRLOCK_TEST_SOAK_SANDBOXES=1", "AIRLOCK_OUR_OPENAI_KEY=1",
	}, "AIRLOCK_OUR_OPENAI_KEY", "ANTHROPIC_API_KEY")
	require.NoError(t, err)
	require.Empty(t, unknown)
}

// Kubernetes describes every service in the environment of every container.
func TestVariablesOfKubernetesAreNeverMisspelt(t *testing.T) {
	known := knownNames(nil)
	var environ []string
	for _, service := range []string{"AIRLOCK", "AIRLOCK_API", "AIRLOCK_EXECUTOR", "AIRLOCK_UR", "AIRLOCK_API_KEY", "AIRLOCK_LISTEN"} {
		for _, suffix := range []string{
			"SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "SERVICE_PORT_METRICS", "PORT",
			"PORT_8000_TCP", "PORT_8000_TCP_PROTO", "PORT_8000_TCP_PORT", "PORT_8000_TCP_ADDR", "PORT_53_UDP_ADDR",
		} {
			name := service + "_" + suffix
			require.Regexp(t, kubernetesService, name)
			require.NotContains(t, known, name)
			environ = append(environ, name+"=10.0.0.1")
		}
	}
	unknown, err := CheckNames(environ)
	require.NoError(t, err)
	require.Len(t, unknown, len(environ), "a warning names them")
}

// No variable of ours looks like one of Kubernetes, so a misspelt one is found.
func TestNoKnownVariableLooksLikeKubernetes(t *testing.T) {
	for _, name := range knownNames(nil) {
		require.NotRegexp(t, kubernetesService, name)
	}
}

// Every variable of Airlock that a page, a script or a program names is known.
func TestNamedVariablesAreKnown(t *testing.T) {
	name := regexp.MustCompile(`\bAIRLOCK_[A-Z_]*[A-Z]\b`)
	// A runtime's contract with its agent sets the first ones inside a sandbox, where no program of ours reads them.
	others := []string{"AIRLOCK_INSTRUCTIONS", "AIRLOCK_SCHEMA", "AIRLOCK_HISTORY", "AIRLOCK_MODEL"}
	// Examples in docs/configuration.md, of Kubernetes and of a misspelt name.
	others = append(others, "AIRLOCK_API_SERVICE_HOST", "AIRLOCK_EXECUTOR_SLOT")
	for _, root := range []string{"../../../docs", "../../../scripts", "../../../infra", "../../../cmd", "../../../README.md", "../../../Makefile"} {
		require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "docs/decisions/") {
				return err
			}
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			var environ []string
			for _, n := range name.FindAllString(string(text), -1) {
				environ = append(environ, n+"=")
			}
			unknown, err := CheckNames(environ, others...)
			require.NoError(t, err, path)
			require.Empty(t, unknown, path)
			return nil
		}))
	}
}

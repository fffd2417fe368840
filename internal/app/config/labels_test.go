package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/app/config/configtest"
)

func TestLabels(t *testing.T) {
	configtest.SetOnly(t, configtest.WithEmulators(map[string]string{"AIRLOCK_EXECUTOR_LABELS": "zone=a, gpu=no,empty=,"}))
	x, err := LoadExecutor()
	require.NoError(t, err)
	require.NoError(t, x.Validate())
	require.Equal(t, Labels{"zone": "a", "gpu": "no", "empty": ""}, x.Labels)

	for bad, says := range map[string]string{
		"zone":                             "name=value",
		"zone=a,zone=b":                    "each name once",
		"a b=c":                            "a b",
		"=c":                               "1 to 63",
		"a=" + strings.Repeat("x", 129):    "128 bytes",
		strings.Repeat("n", 64) + "=value": "1 to 63",
	} {
		configtest.SetOnly(t, configtest.WithEmulators(map[string]string{"AIRLOCK_EXECUTOR_LABELS": bad}))
		x, err := LoadExecutor()
		if err == nil {
			err = x.Validate()
		}
		require.ErrorContains(t, err, says, bad)
		require.ErrorContains(t, err, "AIRLOCK_EXECUTOR_LABELS", bad)
	}
}

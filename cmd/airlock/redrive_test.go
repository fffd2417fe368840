package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRedriveRefusesBadSelection(t *testing.T) {
	for flag, says := range map[string]string{
		"--code=no_executer": "is not a failure code", "--since=-1h": "greater than 0", "--since=0": "greater than 0",
		"--tenant=../ada": "is not a valid tenant name", "--tenant=": "--tenant is empty",
	} {
		code, _, stderr := runCLI(t, "", "redrive", "--dry-run", flag)
		require.Equal(t, exitUsage, code, flag)
		require.Contains(t, stderr, says, flag)
	}
}

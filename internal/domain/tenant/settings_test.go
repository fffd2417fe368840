package tenant

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSettingsOverrideDefaults(t *testing.T) {
	defaults := Limits{MaxQueued: 10, MaxRunning: 4, MaxDailyUSD: 2.5}
	require.Equal(t, Limits{MaxQueued: 10, MaxRunning: 4, MaxDailyUSD: 2.5, Weight: 1}, new(Settings).Limits(defaults))
	none, many, usd := 0, 99, 0.5
	set := Settings{MaxQueued: &none, MaxRunning: &many, MaxDailyUSD: &usd, SoftLimit: 0.8, Weight: 3}
	require.Equal(t, Limits{MaxQueued: 0, MaxRunning: 99, MaxDailyUSD: 0.5, SoftLimit: 0.8, Weight: 3}, set.Limits(defaults),
		"a set 0 is no limit, also where the installation has one")

	day, atOnce := 24*time.Hour, time.Duration(0)
	defaults = Limits{TranscriptRetention: &day}
	require.Equal(t, &day, new(Settings).Limits(defaults).TranscriptRetention)
	require.Equal(t, &atOnce, (&Settings{TranscriptRetention: &atOnce}).Limits(defaults).TranscriptRetention, "no transcript is kept")
}

func TestOperatorIsNoTenant(t *testing.T) {
	caller := Operator("operator")
	require.Empty(t, caller.Tenant)
	require.ElementsMatch(t, AllScopes, caller.MissingScopes(AllScopes...))
	require.Empty(t, caller.MissingScopes(ScopeOperator))
	require.False(t, ValidScopes(ScopeOperator), "no key and no claim of scopes can have it")
}

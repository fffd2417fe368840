package auth

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOperatorKeyMatchesOnlyItself(t *testing.T) {
	secret := strings.Repeat("k", minOperatorKeyBytes)
	key, err := NewOperatorKey(secret)
	require.NoError(t, err)
	matches := func(k *OperatorKey, authorization string) bool {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", authorization)
		return k.Matches(r)
	}
	require.True(t, matches(key, "Bearer "+secret))
	for _, other := range []string{"", "Bearer", "Bearer ", secret, "Basic " + secret, "Bearer " + secret + "k", "Bearer " + secret[1:], "Bearer K" + secret[1:]} {
		require.False(t, matches(key, other), other)
		require.False(t, matches(nil, other), other)
	}
	require.False(t, matches(nil, "Bearer "+secret))
	require.NotContains(t, fmt.Sprintf("%v %+v %s", key, key, key), "[", "no hash in logs")
}

func TestNewOperatorKeyRejects(t *testing.T) {
	for secret, reason := range map[string]string{
		"": "at least 32", strings.Repeat("s", minOperatorKeyBytes-1): "at least 32",
		strings.Repeat("s", minOperatorKeyBytes) + " s": "visible", strings.Repeat("ö", minOperatorKeyBytes): "visible",
	} {
		_, err := NewOperatorKey(secret)
		require.ErrorContains(t, err, reason)
		require.NotContains(t, err.Error(), "sss")
	}
}

package gateway

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/netguard"
)

func TestPrivateUpstreamIsNotDialed(t *testing.T) {
	var blocked netguard.BlockedError
	public := newTransport(Config{Upstream: &url.URL{Scheme: "https", Host: "api.anthropic.com"}})
	_, err := public.DialContext(t.Context(), "tcp", "localhost:1")
	require.ErrorAs(t, err, &blocked)

	local := newTransport(Config{Upstream: &url.URL{Scheme: "http", Host: "localhost:1"}})
	_, err = local.DialContext(t.Context(), "tcp", "localhost:1")
	require.Error(t, err, "nothing listens on the port")
	require.NotErrorAs(t, err, &blocked)
}

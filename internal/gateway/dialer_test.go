package gateway

import (
	"net/netip"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIsPublic(t *testing.T) {
	for _, one := range []string{"8.8.8.8", "160.79.104.10", "2607:6bc0::10", "172.32.0.1", "100.128.0.1"} {
		require.True(t, isPublic(netip.MustParseAddr(one)), one)
	}
	for _, one := range []string{
		"127.0.0.1", "127.1.2.3", "::1", "0.0.0.0", "0.1.2.3", "::", "10.0.0.1", "172.16.0.1", "192.168.1.1",
		"169.254.169.254", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "100.100.100.200", "224.0.0.1", "255.255.255.255",
		"240.0.0.1", "198.18.0.1", "192.0.0.192", "203.0.113.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1",
		"64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:db8::1", "fec0::1", "ff02::1",
	} {
		require.False(t, isPublic(netip.MustParseAddr(one)), one)
	}
}

func TestTheGuardLooksAtTheAddressThatIsDialled(t *testing.T) {
	closed := dialGuard{}
	require.NoError(t, closed.control(t.Context(), "tcp4", "8.8.8.8:443", nil))
	var refused refusedAddressError
	require.ErrorAs(t, closed.control(t.Context(), "tcp4", "169.254.169.254:80", nil), &refused)
	require.ErrorAs(t, closed.control(t.Context(), "tcp6", "[::1]:443", nil), &refused)
	require.Error(t, closed.control(t.Context(), "unix", "/run/docker.sock", nil))

	open := dialGuard{allowPrivate: true}
	require.NoError(t, open.control(t.Context(), "tcp4", "127.0.0.1:8080", nil))
}

func TestANameThatResolvesInwardsIsNotDialled(t *testing.T) {
	var refused refusedAddressError
	public := newTransport(Settings{Upstream: &url.URL{Scheme: "https", Host: "api.anthropic.com"}})
	_, err := public.DialContext(t.Context(), "tcp", "localhost:1")
	require.ErrorAs(t, err, &refused)

	local := newTransport(Settings{Upstream: &url.URL{Scheme: "http", Host: "localhost:1"}})
	_, err = local.DialContext(t.Context(), "tcp", "localhost:1")
	require.Error(t, err, "nothing listens there")
	require.NotErrorAs(t, err, &refused)
}

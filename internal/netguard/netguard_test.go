package netguard

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIsPublic(t *testing.T) {
	for _, text := range []string{"8.8.8.8", "160.79.104.10", "2607:6bc0::10", "172.32.0.1", "100.128.0.1"} {
		require.True(t, IsPublic(netip.MustParseAddr(text)), text)
	}
	for _, text := range privateAddresses {
		require.False(t, IsPublic(netip.MustParseAddr(text)), text)
	}
}

// privateAddresses has addresses of every kind that is not public.
var privateAddresses = []string{
	"127.0.0.1", "127.1.2.3", "::1", "0.0.0.0", "0.1.2.3", "::", "10.0.0.1", "172.16.0.1", "192.168.1.1",
	"169.254.169.254", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "100.100.100.200", "224.0.0.1", "255.255.255.255",
	"240.0.0.1", "198.18.0.1", "192.0.0.192", "203.0.113.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1",
	"64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::", "2001:db8::1", "fec0::1", "ff02::1", "3fff::1",
}

func TestControlChecksDialedAddress(t *testing.T) {
	var blocked BlockedError
	closed := Guard{}
	require.NoError(t, closed.Control(t.Context(), "tcp4", "8.8.8.8:443", nil))
	require.ErrorAs(t, closed.Control(t.Context(), "tcp4", "169.254.169.254:80", nil), &blocked)
	require.ErrorAs(t, closed.Control(t.Context(), "tcp6", "[::1]:443", nil), &blocked)
	require.Error(t, closed.Control(t.Context(), "unix", "/run/docker.sock", nil))
}

func TestAllowAddsOnlyItsPrefixes(t *testing.T) {
	var blocked BlockedError
	some := Guard{Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
	require.NoError(t, some.Control(t.Context(), "tcp4", "10.1.2.3:80", nil))
	require.NoError(t, some.Check(netip.MustParseAddr("::ffff:10.1.2.3")), "an IPv4-mapped IPv6 address is the same address")
	require.ErrorAs(t, some.Control(t.Context(), "tcp4", "10.2.0.1:80", nil), &blocked)
	require.ErrorAs(t, some.Control(t.Context(), "tcp4", "127.0.0.1:80", nil), &blocked)
	require.NoError(t, some.Control(t.Context(), "tcp4", "8.8.8.8:443", nil))

	for _, text := range privateAddresses {
		require.NoError(t, Guard{Allow: AllAddresses()}.Check(netip.MustParseAddr(text)), text)
	}
}

func TestTransportUsesNoProxy(t *testing.T) {
	require.Nil(t, NewTransport(Guard{}).Proxy)
}

func TestPrivateNameIsNotDialed(t *testing.T) {
	var blocked BlockedError
	_, err := NewTransport(Guard{}).DialContext(t.Context(), "tcp", "localhost:1")
	require.ErrorAs(t, err, &blocked)

	_, err = NewTransport(Guard{Allow: AllAddresses()}).DialContext(t.Context(), "tcp", "localhost:1")
	require.Error(t, err, "nothing listens on the port")
	require.NotErrorAs(t, err, &blocked)
}

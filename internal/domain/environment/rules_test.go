package environment

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func rules(t *testing.T, patterns ...string) Rules {
	t.Helper()
	r, err := ParsePatterns(patterns)
	require.NoError(t, err)
	return r
}

func TestPatternsMatchHostsAndPorts(t *testing.T) {
	for _, tc := range []struct {
		pattern string
		host    string
		port    int
		allowed bool
	}{
		{"api.example.com", "api.example.com", 443, true},
		{"api.example.com", "api.example.com", 80, true},
		{"api.example.com", "api.example.com", 8080, false},
		{"api.example.com", "api.example.com", 0, false},
		{"api.example.com", "API.Example.COM.", 443, true},
		{"API.Example.com", "api.example.com", 443, true},
		{"api.example.com", "api.example.com..", 443, false},
		{"api.example.com", "x.api.example.com", 443, false},
		{"api.example.com", "xapi.example.com", 443, false},
		{"api.example.com", "api.example.com.evil.org", 443, false},
		{"api.example.com", "api.example.com\x00.evil.org", 443, false},
		{"api.example.com", "api.example.com:443", 443, false},
		{"kelvin.example.com", "\u212aelvin.example.com", 443, false}, // the Kelvin sign becomes k in lower case
		{"api.example.com:8443", "api.example.com", 8443, true},
		{"api.example.com:8443", "api.example.com", 443, false},
		{"*.example.org", "a.example.org", 443, true},
		{"*.example.org", "a.b.example.org", 80, true},
		{"*.example.org", "example.org", 443, false},
		{"*.example.org", "aexample.org", 443, false},
		{"*.example.org", ".example.org", 443, false},
		{"*.example.org", "*.example.org", 443, false},
		{"*.example.org:22", "a.example.org", 22, true},
		{"xn--mnchen-3ya.de", "xn--mnchen-3ya.de", 443, true},
		{"xn--mnchen-3ya.de", "münchen.de", 443, false},
	} {
		require.Equal(t, tc.allowed, rules(t, tc.pattern).Allows(tc.host, tc.port), "%s allows %q:%d", tc.pattern, tc.host, tc.port)
	}
	require.False(t, Rules{}.Allows("api.example.com", 443))
	require.True(t, Rules{}.Empty())
}

func TestWrongPatternsAreRefused(t *testing.T) {
	long := strings.Repeat("a.", 126) + "com"
	for pattern, reason := range map[string]string{
		"":                                      "must be a name",
		"*":                                     "is every host: use the mode open",
		"*.":                                    "must be a name",
		"*.com":                                 "at least two labels",
		"**.example.com":                        "whole first label",
		"a.*.example.com":                       "whole first label",
		"api*.example.com":                      "whole first label",
		"*.*.example.com":                       "whole first label",
		"a.b..c":                                "must be a name",
		".example.com":                          "must be a name",
		"example.com.":                          "must be a name",
		"-a.example.com":                        "must be a name",
		"a-.example.com":                        "must be a name",
		"a_b.example.com":                       "must be a name",
		"a b.example.com":                       "must be a name",
		"user@example.com":                      "must be a name",
		"example.com/path":                      "must be a name",
		"example.com:0":                         "a port from 1 to 65535",
		"example.com:65536":                     "a port from 1 to 65535",
		"example.com:":                          "a port from 1 to 65535",
		"example.com:+80":                       "a port from 1 to 65535",
		"example.com:080":                       "a port from 1 to 65535",
		"example.com:80:90":                     "a port from 1 to 65535",
		"https://example.com":                   "a port from 1 to 65535",
		"münchen.de":                            "in ASCII",
		"example\u3002com":                      "in ASCII", // the ideographic full stop
		"example\uff0ecom":                      "in ASCII", // the full-width full stop
		"\u212aelvin.example.com":               "in ASCII",
		"127.0.0.1":                             "not an IP address",
		"1.1":                                   "not an IP address",
		"0x7f.0x1":                              "not an IP address",
		"2130706433":                            "not an IP address",
		"[::1]":                                 "a port from 1 to 65535",
		"::1":                                   "a port from 1 to 65535",
		"localhost":                             ".localhost, which is not of the public internet",
		"a.localhost":                           ".localhost, which is not of the public internet",
		"metadata.google.internal":              ".internal, which is not of the public internet",
		"*.internal":                            ".internal, which is not of the public internet",
		"printer.local":                         ".local, which is not of the public internet",
		"1.0.0.127.in-addr.arpa":                ".arpa, which is not of the public internet",
		"intranet":                              ".intranet, which is not of the public internet",
		"server":                                "at least two labels",
		long:                                    "at most 253",
		"a." + strings.Repeat("b", 64) + ".com": "must be a name",
	} {
		_, err := ParsePatterns([]string{pattern})
		require.ErrorContains(t, err, reason, "%q", pattern)
		require.True(t, Network{Mode: Limited, Hosts: []string{pattern}}.Rules().Empty(), "%q", pattern)
	}
}

func TestOpenMeansPublicNames(t *testing.T) {
	open := Network{Mode: Open, Hosts: []string{"git.example.com:22"}}.Rules()
	require.True(t, open.Allows("anything.example.net", 443))
	require.True(t, open.Allows("git.example.com", 22))
	for _, host := range []string{
		"127.0.0.1", "::1", "[::1]", "169.254.169.254", "0x7f000001", "localhost", "metadata.google.internal", "server", "a.svc.cluster.local", "",
	} {
		require.False(t, open.Allows(host, 443), host)
	}
	require.False(t, open.Allows("anything.example.net", 25))
}

func TestUncovered(t *testing.T) {
	ceiling := func(list ...string) Rules {
		r, err := ParseCeiling(list)
		require.NoError(t, err)
		return r
	}
	for _, tc := range []struct {
		name      string
		ceiling   Rules
		asked     Rules
		uncovered string
	}{
		{"nothing needs nothing", Rules{}, Rules{}, ""},
		{"nothing covers nothing", Rules{}, rules(t, "a.example.com"), "a.example.com"},
		{"the same", ceiling("a.example.com"), rules(t, "A.example.com"), ""},
		{"below", ceiling("*.example.com"), rules(t, "a.b.example.com"), ""},
		{"below, the same", ceiling("*.example.com"), rules(t, "*.example.com"), ""},
		{"below, narrower", ceiling("*.example.com"), rules(t, "*.b.example.com"), ""},
		{"below, wider", ceiling("*.b.example.com"), rules(t, "*.example.com"), "*.example.com"},
		{"not the suffix itself", ceiling("*.example.com"), rules(t, "example.com"), "example.com"},
		{"one is not all below", ceiling("a.example.com"), rules(t, "*.a.example.com"), "*.a.example.com"},
		{"another port", ceiling("a.example.com"), rules(t, "a.example.com:8443"), "a.example.com:8443"},
		{"one of the usual ports", ceiling("a.example.com"), rules(t, "a.example.com:80"), ""},
		{"only one of the usual ports", ceiling("a.example.com:443"), rules(t, "a.example.com"), "a.example.com"},
		{"the usual ports, one by one", ceiling("a.example.com:443", "*.example.com:80"), rules(t, "a.example.com"), ""},
		{"any", ceiling("*"), rules(t, "a.example.com", "*.example.org"), ""},
		{"any, on another port", ceiling("*"), rules(t, "a.example.com:22"), "a.example.com:22"},
		{"any on that port", ceiling("*", "*:22"), rules(t, "a.example.com:22"), ""},
		{"open", ceiling("*"), Network{Mode: Open}.Rules(), ""},
		{"open needs any", ceiling("*.example.com", "*.example.org"), Network{Mode: Open}.Rules(), "*"},
		{"the first", ceiling("b.example.com"), rules(t, "b.example.com", "c.example.com", "d.example.com"), "c.example.com"},
		{"packages", DevCeiling(), Network{Mode: Limited, Packages: true}.Rules(), ""},
	} {
		require.Equal(t, tc.uncovered, tc.ceiling.Uncovered(tc.asked), tc.name)
	}
}

func TestCeilingIsReadFromOneText(t *testing.T) {
	var r Rules
	require.NoError(t, r.UnmarshalText([]byte(" *.Example.com:8443, a.example.org,,a.example.org ")))
	require.Equal(t, []string{"*.example.com:8443", "a.example.org"}, r.Patterns())
	require.NoError(t, r.UnmarshalText([]byte("*")))
	require.Equal(t, []string{"*"}, r.Patterns())
	require.ErrorContains(t, r.UnmarshalText([]byte("a.example.org,*.com,10.0.0.1")), `"10.0.0.1" must be a name, not an IP address`)
	require.Error(t, r.UnmarshalText([]byte("*:0")))
}

// What is allowed is covered: whatever a pattern that a ceiling covers allows, the ceiling allows as well.
func FuzzPatterns(f *testing.F) {
	for _, seed := range []string{"api.example.com", "*.example.org:8443", "*", "a.b..c", "127.0.0.1", "münchen.de", "*.com", "EXAMPLE.com:443"} {
		f.Add(seed, "example.org", "*.example.com")
	}
	f.Fuzz(func(t *testing.T, text, host, ceilingText string) {
		r, err := ParsePatterns([]string{text})
		if err != nil {
			return
		}
		require.Len(t, r.Patterns(), 1)
		again, err := ParsePatterns(r.Patterns())
		require.NoError(t, err)
		require.Equal(t, r, again, "the text of a pattern is the pattern")
		require.Empty(t, r.Uncovered(r))
		for _, name := range []string{host, strings.Replace(strings.TrimSuffix(r.patterns[0].String(), ":"), "*", host, 1)} {
			name, _, _ = strings.Cut(name, ":")
			for _, port := range []int{22, 80, 443, r.patterns[0].port} {
				if !r.Allows(name, port) {
					continue
				}
				_, notAddress := netip.ParseAddr(name)
				require.Error(t, notAddress)
				require.Contains(t, name, ".")
				ceiling, err := ParseCeiling([]string{ceilingText})
				if err == nil && ceiling.Uncovered(r) == "" {
					require.True(t, ceiling.Allows(name, port))
				}
			}
		}
	})
}

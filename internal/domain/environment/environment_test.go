package environment

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/agent"
)

func TestCheck(t *testing.T) {
	many := make([]string, MaxHosts+1)
	for i := range many {
		many[i] = fmt.Sprintf("h%d.example.com", i)
	}
	for name, tc := range map[string]struct {
		environment Environment
		field       string // of the one problem; empty: none
	}{
		"zero":                 {Environment{}, ""},
		"limited":              {Environment{Network: Network{Mode: Limited, Hosts: []string{"a.example.com"}, Packages: true}}, ""},
		"limited to nothing":   {Environment{Network: Network{Mode: Limited}}, ""},
		"open":                 {Environment{Network: Network{Mode: Open}}, ""},
		"unknown mode":         {Environment{Network: Network{Mode: "some"}}, "network.mode"},
		"hosts without mode":   {Environment{Network: Network{Hosts: []string{"a.example.com"}}}, "network.hosts"},
		"packages, no mode":    {Environment{Network: Network{Packages: true}}, "network.packages"},
		"wrong host":           {Environment{Network: Network{Mode: Limited, Hosts: []string{"a.example.com", "10.0.0.1"}}}, "network.hosts.1"},
		"too many hosts":       {Environment{Network: Network{Mode: Limited, Hosts: many}}, "network.hosts"},
		"variables":            {Environment{Variables: map[string]string{"STAGE": "test"}}, ""},
		"reserved variable":    {Environment{Variables: map[string]string{"LD_PRELOAD": "x"}}, "variables.LD_PRELOAD"},
		"proxy":                {Environment{Variables: map[string]string{"https_proxy": "x"}}, "variables.https_proxy"},
		"wrong variable":       {Environment{Variables: map[string]string{"A B": "x"}}, "variables"},
		"large variable":       {Environment{Variables: map[string]string{"A": strings.Repeat("x", agent.MaxEnvValueBytes+1)}}, "variables.A"},
		"large together":       {Environment{Variables: largeVariables()}, "variables"},
		"NUL":                  {Environment{Variables: map[string]string{"A": "\x00"}}, "variables.A"},
		"a suffix of its own":  {Environment{Network: Network{Mode: Limited, Hosts: []string{"*.org"}}}, "network.hosts.0"},
		"a metadata server":    {Environment{Network: Network{Mode: Open, Hosts: []string{"metadata.google.internal"}}}, "network.hosts.0"},
		"open with other port": {Environment{Network: Network{Mode: Open, Hosts: []string{"a.example.com:22"}}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			problems := tc.environment.Check()
			if tc.field == "" {
				require.Empty(t, problems)
				return
			}
			require.Len(t, problems, 1)
			require.Equal(t, tc.field, problems[0].Field)
		})
	}
}

func largeVariables() map[string]string {
	variables := map[string]string{}
	for i := range 9 {
		variables[fmt.Sprintf("V%d", i)] = strings.Repeat("x", agent.MaxEnvValueBytes)
	}
	return variables
}

func TestCeilingBoundsNetworks(t *testing.T) {
	ceiling, err := ParseCeiling([]string{"*.example.com", "pypi.org"})
	require.NoError(t, err)
	problems := Network{Mode: Limited, Hosts: []string{"a.example.com", "evil.org:8443"}, Packages: true}.CheckCeiling(ceiling)
	allowed := " is not allowed by the operator, who allows *.example.com, pypi.org (AIRLOCK_EGRESS_HOSTS)"
	require.Equal(t, []agent.Problem{
		{Field: "network.packages", Detail: "registry.npmjs.org" + allowed},
		{Field: "network.hosts.1", Detail: "evil.org:8443" + allowed},
	}, problems)
	require.Equal(t, "network.mode", Network{Mode: Open}.CheckCeiling(ceiling)[0].Field)
	require.Contains(t, Network{Mode: Open}.CheckCeiling(Rules{})[0].Detail, "who allows no hosts")
	require.Contains(t, Network{Mode: Open}.CheckCeiling(DevCeiling())[0].Detail, " and 9 more")
	require.Empty(t, Network{}.CheckCeiling(Rules{}))
}

func TestNormalizeWritesEachHostOnce(t *testing.T) {
	n := Network{Mode: Limited, Hosts: []string{"API.example.com", "api.example.com", "*.Example.org:443"}}.Normalize()
	require.Equal(t, []string{"api.example.com", "*.example.org:443"}, n.Hosts)
}

func TestChanges(t *testing.T) {
	before := Environment{Name: "a", Network: Network{Mode: Limited, Hosts: []string{"a.example.com"}}, Variables: map[string]string{"A": "b"}}
	require.Empty(t, Changes(before, before))
	after := Environment{Name: "b", Description: "c", Network: Network{Mode: Limited, Hosts: []string{"b.example.com"}}}
	require.Equal(t, []string{"name", "description", "network", "variables"}, Changes(before, after))
}

func TestListsOfHostsCanBeRead(t *testing.T) {
	require.Len(t, PackageHosts().Patterns(), len(packageHosts))
	require.True(t, DevCeiling().Allows("gitlab.com", 443))
	require.True(t, Network{Mode: Limited, Packages: true}.Rules().Allows("proxy.golang.org", 443))
	require.False(t, Network{Mode: Limited}.Rules().Allows("proxy.golang.org", 443))
}

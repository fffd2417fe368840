package webhookdispatch

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/webhook"
)

func TestLimiterNeverExceedsLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r limiter
		type guest struct {
			ref  webhook.Ref
			host string
		}
		var sends []guest
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				g := guest{
					ref: webhook.Ref{
						Tenant: rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "tenant"),
						ID:     rapid.StringMatching("[a-z]{3}").Draw(t, "id"),
					},
					host: rapid.StringMatching("[a-z]").Draw(t, "host"),
				}
				if r.acquire(g.ref, g.host) == admitted {
					sends = append(sends, g)
					require.Equal(t, alreadySending, r.acquire(g.ref, g.host))
				}
			},
			"leave": func(t *rapid.T) {
				if len(sends) == 0 {
					t.Skip("nobody is there")
				}
				r.release(sends[0].ref)
				sends = sends[1:]
			},
			"": func(t *rapid.T) {
				tenants, hosts := map[string]int{}, map[string]int{}
				for _, g := range sends {
					tenants[g.ref.Tenant]++
					hosts[g.host]++
					require.LessOrEqual(t, tenants[g.ref.Tenant], maxPerTenant)
					require.LessOrEqual(t, hosts[g.host], maxPerHost)
				}
				require.LessOrEqual(t, len(sends), maxConcurrent)
				require.Len(t, r.inFlight, len(sends))
				require.Len(t, r.tenants, len(tenants), "who has left is forgotten")
				require.Len(t, r.hosts, len(hosts))
			},
		})
	})
}

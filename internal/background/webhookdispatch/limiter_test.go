package webhookdispatch

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/webhook"
)

func TestLimiterNeverExceedsLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l limiter
		type send struct {
			ref  webhook.Ref
			host string
		}
		var sends []send
		t.Repeat(map[string]func(*rapid.T){
			"acquire": func(t *rapid.T) {
				one := send{
					ref: webhook.Ref{
						Tenant: rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "tenant"),
						ID:     rapid.StringMatching("[a-z]{3}").Draw(t, "id"),
					},
					host: rapid.StringMatching("[a-z]").Draw(t, "host"),
				}
				switch l.acquire(one.ref, one.host) {
				case limited:
					require.Equal(t, busy, l.acquire(one.ref, one.host), "it is being postponed")
					l.release(one.ref)
				case busy, full:
				case admitted:
					sends = append(sends, one)
					require.Equal(t, busy, l.acquire(one.ref, one.host))
				}
			},
			"release": func(t *rapid.T) {
				if len(sends) == 0 {
					t.Skip("no request is in flight")
				}
				l.release(sends[0].ref)
				sends = sends[1:]
			},
			"": func(t *rapid.T) {
				tenants, hosts, both := map[string]int{}, map[string]int{}, map[share]int{}
				for _, one := range sends {
					tenants[one.ref.Tenant]++
					hosts[one.host]++
					both[share{one.ref.Tenant, one.host}]++
					require.LessOrEqual(t, tenants[one.ref.Tenant], maxPerTenant)
					require.LessOrEqual(t, hosts[one.host], maxPerHost)
					require.LessOrEqual(t, both[share{one.ref.Tenant, one.host}], maxPerTenantHost)
				}
				require.LessOrEqual(t, len(sends), maxConcurrent)
				require.Equal(t, len(sends), l.sending)
				require.Len(t, l.busy, len(sends))
				require.Len(t, l.counts, len(tenants)+len(hosts)+len(both), "a tenant without requests is removed")
			},
		})
	})
}

package webhookdispatch

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/webhook"
)

func TestTheRoomKeepsItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r room
		type guest struct {
			ref  webhook.Ref
			host string
		}
		var guests []guest
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				g := guest{
					ref: webhook.Ref{
						Owner: rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "owner"),
						ID:    rapid.StringMatching("[a-z]{3}").Draw(t, "id"),
					},
					host: rapid.StringMatching("[a-z]").Draw(t, "host"),
				}
				if r.enter(g.ref, g.host) == admitted {
					guests = append(guests, g)
					require.Equal(t, inside, r.enter(g.ref, g.host))
				}
			},
			"leave": func(t *rapid.T) {
				if len(guests) == 0 {
					t.Skip("nobody is there")
				}
				r.leave(guests[0].ref)
				guests = guests[1:]
			},
			"": func(t *rapid.T) {
				tenants, hosts := map[string]int{}, map[string]int{}
				for _, g := range guests {
					tenants[g.ref.Owner]++
					hosts[g.host]++
					require.LessOrEqual(t, tenants[g.ref.Owner], mostPerTenant)
					require.LessOrEqual(t, hosts[g.host], mostPerHost)
				}
				require.LessOrEqual(t, len(guests), most)
				require.Len(t, r.sending, len(guests))
				require.Len(t, r.tenants, len(tenants), "who has left is forgotten")
				require.Len(t, r.hosts, len(hosts))
			},
		})
	})
}

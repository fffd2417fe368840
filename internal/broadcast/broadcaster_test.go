package broadcast

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ref = execution.Ref{Tenant: "ada", ID: "exe_1"}

func TestNotifyReachesOnlySubscribersOfExecution(t *testing.T) {
	var broadcaster Broadcaster
	first, unsubscribeFirst := broadcaster.Subscribe(ref)
	defer unsubscribeFirst()
	second, unsubscribeSecond := broadcaster.Subscribe(ref)
	defer unsubscribeSecond()
	sameIDOtherTenant, unsubscribeOther := broadcaster.Subscribe(execution.Ref{Tenant: "bob", ID: ref.ID})
	defer unsubscribeOther()

	broadcaster.Notify(ref)
	require.Len(t, first, 1)
	require.Len(t, second, 1)
	require.Empty(t, sameIDOtherTenant)
}

func TestNotifyCoalescesAndNeverBlocks(t *testing.T) {
	var broadcaster Broadcaster
	notified, unsubscribe := broadcaster.Subscribe(ref)
	defer unsubscribe()
	for range 100 {
		broadcaster.Notify(ref)
	}
	<-notified
	require.Empty(t, notified)
	broadcaster.Notify(ref)
	require.Len(t, notified, 1, "news after a look is news again")
}

func TestNotifyWithoutSubscribers(t *testing.T) {
	var broadcaster Broadcaster
	broadcaster.Notify(ref)
	notified, unsubscribe := broadcaster.Subscribe(ref)
	defer unsubscribe()
	require.Empty(t, notified, "news from before entering is not kept: who enters reads first")
}

// What is left behind would be a leak of one entry for every execution ever waited for.
func TestUnsubscribeRemovesEntry(t *testing.T) {
	var broadcaster Broadcaster
	_, unsubscribeFirst := broadcaster.Subscribe(ref)
	_, unsubscribeSecond := broadcaster.Subscribe(ref)
	unsubscribeFirst()
	unsubscribeFirst() // repeatable
	require.Len(t, broadcaster.subscribers[ref], 1)
	unsubscribeSecond()
	require.Empty(t, broadcaster.subscribers)
}

// TestAnyUse holds a room against the plainest account of who is owed news.
func TestBroadcasterAgainstModel(t *testing.T) {
	type waiter struct {
		ref   execution.Ref
		news  <-chan struct{}
		leave func()
		owed  bool
	}
	rapid.Check(t, func(t *rapid.T) {
		var broadcaster Broadcaster
		var subscribers []*waiter
		someRef := rapid.Custom(func(t *rapid.T) execution.Ref {
			return execution.Ref{
				Tenant: rapid.SampledFrom([]string{"ada", "bob"}).Draw(t, "tenant"),
				ID:     rapid.SampledFrom([]string{"exe_1", "exe_2"}).Draw(t, "id"),
			}
		})
		pick := func(t *rapid.T) int {
			if len(subscribers) == 0 {
				t.Skip("nobody is inside")
			}
			return rapid.IntRange(0, len(subscribers)-1).Draw(t, "waiter")
		}
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				w := &waiter{ref: someRef.Draw(t, "ref")}
				w.news, w.leave = broadcaster.Subscribe(w.ref)
				subscribers = append(subscribers, w)
			},
			"leave": func(t *rapid.T) {
				i := pick(t)
				subscribers[i].leave()
				subscribers = append(subscribers[:i], subscribers[i+1:]...)
			},
			"wake": func(t *rapid.T) {
				target := someRef.Draw(t, "ref")
				broadcaster.Notify(target)
				for _, w := range subscribers {
					w.owed = w.owed || w.ref == target
				}
			},
			"look": func(t *rapid.T) {
				w := subscribers[pick(t)]
				select {
				case <-w.news:
					w.owed = false
				default:
				}
			},
			"": func(t *rapid.T) {
				count := 0
				for _, w := range subscribers {
					require.Equal(t, w.owed, len(w.news) == 1)
				}
				for _, channels := range broadcaster.subscribers {
					require.NotEmpty(t, channels)
					count += len(channels)
				}
				require.Len(t, subscribers, count)
			},
		})
	})
}

// Every waiter hears of a wake that comes after it entered, whatever others do meanwhile.
func TestConcurrentUse(t *testing.T) {
	var broadcaster Broadcaster
	var all sync.WaitGroup
	for i := range 50 {
		execRef := execution.Ref{Tenant: "ada", ID: fmt.Sprint(i % 5)}
		all.Go(func() {
			notified, unsubscribe := broadcaster.Subscribe(execRef)
			defer unsubscribe()
			broadcaster.Notify(execRef)
			<-notified
		})
	}
	all.Wait()
	require.Empty(t, broadcaster.subscribers)
}

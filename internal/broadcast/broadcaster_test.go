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
	require.Len(t, notified, 1, "a Notify after the receive is received again")
}

func TestNotifyWithoutSubscribers(t *testing.T) {
	var broadcaster Broadcaster
	broadcaster.Notify(ref)
	notified, unsubscribe := broadcaster.Subscribe(ref)
	defer unsubscribe()
	require.Empty(t, notified, "an earlier Notify is not kept: a subscriber reads the execution after it has subscribed")
}

// Otherwise the map would grow by one entry with every execution.
func TestUnsubscribeRemovesEntry(t *testing.T) {
	var broadcaster Broadcaster
	_, unsubscribeFirst := broadcaster.Subscribe(ref)
	_, unsubscribeSecond := broadcaster.Subscribe(ref)
	unsubscribeFirst()
	unsubscribeFirst() // the second call has no effect
	require.Len(t, broadcaster.subscribers[ref], 1)
	unsubscribeSecond()
	require.Empty(t, broadcaster.subscribers)
}

func TestBroadcasterBehavesLikeModel(t *testing.T) {
	type subscriber struct {
		ref         execution.Ref
		notified    <-chan struct{}
		unsubscribe func()
		pending     bool // it has a notification that it has not received
	}
	rapid.Check(t, func(t *rapid.T) {
		var broadcaster Broadcaster
		var subscribers []*subscriber
		someRef := rapid.Custom(func(t *rapid.T) execution.Ref {
			return execution.Ref{
				Tenant: rapid.SampledFrom([]string{"ada", "bob"}).Draw(t, "tenant"),
				ID:     rapid.SampledFrom([]string{"exe_1", "exe_2"}).Draw(t, "id"),
			}
		})
		pick := func(t *rapid.T) int {
			if len(subscribers) == 0 {
				t.Skip("there is no subscriber")
			}
			return rapid.IntRange(0, len(subscribers)-1).Draw(t, "subscriber")
		}
		t.Repeat(map[string]func(*rapid.T){
			"subscribe": func(t *rapid.T) {
				s := &subscriber{ref: someRef.Draw(t, "ref")}
				s.notified, s.unsubscribe = broadcaster.Subscribe(s.ref)
				subscribers = append(subscribers, s)
			},
			"unsubscribe": func(t *rapid.T) {
				i := pick(t)
				subscribers[i].unsubscribe()
				subscribers = append(subscribers[:i], subscribers[i+1:]...)
			},
			"notify": func(t *rapid.T) {
				target := someRef.Draw(t, "ref")
				broadcaster.Notify(target)
				for _, s := range subscribers {
					s.pending = s.pending || s.ref == target
				}
			},
			"receive": func(t *rapid.T) {
				s := subscribers[pick(t)]
				select {
				case <-s.notified:
					s.pending = false
				default:
				}
			},
			"": func(t *rapid.T) {
				count := 0
				for _, s := range subscribers {
					require.Equal(t, s.pending, len(s.notified) == 1)
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

// Every subscriber receives a Notify that comes after its Subscribe, whatever others do at the same time.
func TestBroadcasterConcurrentUse(t *testing.T) {
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

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

var ref = execution.Ref{Owner: "ada", ID: "exe_1"}

func TestWakeReachesEveryWaiterOfTheExecutionAndNobodyElse(t *testing.T) {
	var room Room
	first, leaveFirst := room.Enter(ref)
	defer leaveFirst()
	second, leaveSecond := room.Enter(ref)
	defer leaveSecond()
	sameIDOfAnother, leaveAnother := room.Enter(execution.Ref{Owner: "bob", ID: ref.ID})
	defer leaveAnother()

	room.Wake(ref)
	require.Len(t, first, 1)
	require.Len(t, second, 1)
	require.Empty(t, sameIDOfAnother)
}

func TestNewsThatNobodyLooksAtBecomesOneAndBlocksNobody(t *testing.T) {
	var room Room
	news, leave := room.Enter(ref)
	defer leave()
	for range 100 {
		room.Wake(ref)
	}
	<-news
	require.Empty(t, news)
	room.Wake(ref)
	require.Len(t, news, 1, "news after a look is news again")
}

func TestWakeOfAnEmptyRoom(t *testing.T) {
	var room Room
	room.Wake(ref)
	news, leave := room.Enter(ref)
	defer leave()
	require.Empty(t, news, "news from before entering is not kept: who enters reads first")
}

// What is left behind would be a leak of one entry for every execution ever waited for.
func TestLeavingForgets(t *testing.T) {
	var room Room
	_, leaveFirst := room.Enter(ref)
	_, leaveSecond := room.Enter(ref)
	leaveFirst()
	leaveFirst() // repeatable
	require.Len(t, room.waiting[ref], 1)
	leaveSecond()
	require.Empty(t, room.waiting)
}

// TestAnyUse holds a room against the plainest account of who is owed news.
func TestAnyUse(t *testing.T) {
	type waiter struct {
		ref   execution.Ref
		news  <-chan struct{}
		leave func()
		owed  bool
	}
	rapid.Check(t, func(t *rapid.T) {
		var room Room
		var inside []*waiter
		someRef := rapid.Custom(func(t *rapid.T) execution.Ref {
			return execution.Ref{
				Owner: rapid.SampledFrom([]string{"ada", "bob"}).Draw(t, "owner"),
				ID:    rapid.SampledFrom([]string{"exe_1", "exe_2"}).Draw(t, "id"),
			}
		})
		pick := func(t *rapid.T) int {
			if len(inside) == 0 {
				t.Skip("nobody is inside")
			}
			return rapid.IntRange(0, len(inside)-1).Draw(t, "waiter")
		}
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				w := &waiter{ref: someRef.Draw(t, "ref")}
				w.news, w.leave = room.Enter(w.ref)
				inside = append(inside, w)
			},
			"leave": func(t *rapid.T) {
				i := pick(t)
				inside[i].leave()
				inside = append(inside[:i], inside[i+1:]...)
			},
			"wake": func(t *rapid.T) {
				woken := someRef.Draw(t, "ref")
				room.Wake(woken)
				for _, w := range inside {
					w.owed = w.owed || w.ref == woken
				}
			},
			"look": func(t *rapid.T) {
				w := inside[pick(t)]
				select {
				case <-w.news:
					w.owed = false
				default:
				}
			},
			"": func(t *rapid.T) {
				count := 0
				for _, w := range inside {
					require.Equal(t, w.owed, len(w.news) == 1)
				}
				for _, waiting := range room.waiting {
					require.NotEmpty(t, waiting)
					count += len(waiting)
				}
				require.Len(t, inside, count)
			},
		})
	})
}

// Every waiter hears of a wake that comes after it entered, whatever others do meanwhile.
func TestConcurrentUse(t *testing.T) {
	var room Room
	var all sync.WaitGroup
	for i := range 50 {
		own := execution.Ref{Owner: "ada", ID: fmt.Sprint(i % 5)}
		all.Go(func() {
			news, leave := room.Enter(own)
			defer leave()
			room.Wake(own)
			<-news
		})
	}
	all.Wait()
	require.Empty(t, room.waiting)
}

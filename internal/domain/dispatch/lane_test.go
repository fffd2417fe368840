package dispatch

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func runs(first, n int) (candidates []Candidate) {
	for i := range n {
		candidates = append(candidates, Candidate{ID: fmt.Sprint("run", first+i), Runtime: "offline"})
	}
	return candidates
}

func anyRuntime(string) Room { return Free }

func names(candidates []Candidate) (list []string) {
	for _, c := range candidates {
		list = append(list, c.ID)
	}
	return list
}

func TestOldestAreTakenFirst(t *testing.T) {
	l := NewLane()
	l.Offer(runs(0, 3))
	l.Offer(runs(1, 4)) // read again
	require.Equal(t, 5, l.Waiting())
	require.Equal(t, []string{"run0", "run1"}, names(l.Take(2, start, anyRuntime)))
	require.Equal(t, 2, l.InFlight())
	l.Offer(runs(0, 5))
	require.Equal(t, 3, l.Waiting(), "what is in flight does not wait")

	require.True(t, l.End("run0", "", start))
	require.False(t, l.End("run0", "", start), "a repeated signal")
	require.Equal(t, 1, l.InFlight())
	taken := l.Take(9, start, anyRuntime)
	require.Equal(t, []string{"run2", "run3", "run4"}, names(taken))

	l.PutBack(taken)
	require.Equal(t, 1, l.InFlight())
	require.Equal(t, []string{"run2"}, names(l.Take(1, start, anyRuntime)), "what could not be published is the first again")
}

func TestTurnsOfOneConversationDoNotOvertake(t *testing.T) {
	turn := func(id, conversation string) Candidate {
		return Candidate{ID: id, ConversationID: conversation, Runtime: "offline"}
	}
	l := NewLane()
	l.Offer([]Candidate{turn("a1", "a"), turn("a2", "a"), turn("b1", "b")})
	require.Equal(t, []string{"a1", "b1"}, names(l.Take(9, start, anyRuntime)))
	require.True(t, l.Behind())
	l.End("a1", "a2", start) // its end has published the next turn
	require.Equal(t, 2, l.InFlight())
	require.False(t, l.Behind())
	l.Offer([]Candidate{turn("a3", "a"), turn("a4", "a")})
	require.Empty(t, l.Take(9, start, anyRuntime))
	l.Offer([]Candidate{turn("a3", "a"), turn("a4", "a"), turn("c1", "c")}) // read again
	l.End("a2", "", start)
	require.Equal(t, []string{"a3", "c1"}, names(l.Take(9, start, anyRuntime)), "it comes first, and once")
	require.True(t, l.Behind())
	l.Rewind()
	require.False(t, l.Behind(), "it is read again")
}

// The end of a turn of which the dispatcher hears late does not publish a turn that was accepted after it.
func TestTurnBehindOneThatHasEndedUnnoticed(t *testing.T) {
	l := NewLane()
	l.Adopt(Candidate{ID: "a1", ConversationID: "a", Runtime: "offline"})
	l.Offer([]Candidate{{ID: "a2", ConversationID: "a", Runtime: "offline"}})
	require.Empty(t, l.Take(1, start, anyRuntime))
	require.Zero(t, l.Waiting())
	l.End("a1", "", start)
	require.False(t, l.Behind())
	require.Equal(t, []string{"a2"}, names(l.Take(1, start, anyRuntime)))
}

func TestExecutionWithoutExecutorIsHeld(t *testing.T) {
	l := NewLane()
	l.Offer(append([]Candidate{{ID: "gpu", Runtime: "gpu"}}, runs(0, 1)...))
	noGPU := func(runtime string) Room {
		if runtime == "gpu" {
			return NoExecutor
		}
		return Free
	}
	require.Equal(t, []string{"run0"}, names(l.Take(9, start, noGPU)))
	require.True(t, l.Held())
	l.Rewind()
	require.False(t, l.Held())
	l.Offer([]Candidate{{ID: "gpu", Runtime: "gpu"}})
	require.Equal(t, []string{"gpu"}, names(l.Take(9, start, anyRuntime)))
}

// What has no room goes on waiting, in its order, and lets others pass; not a later turn of its conversation.
func TestExecutionWithoutRoomGoesOnWaiting(t *testing.T) {
	l := NewLane()
	l.Offer([]Candidate{
		{ID: "gpu1", Runtime: "gpu"}, {ID: "gpu2", Runtime: "gpu", ConversationID: "a"}, {ID: "turn2", Runtime: "offline", ConversationID: "a"},
		{ID: "run", Runtime: "offline"},
	})
	gpus := 1
	room := func(runtime string) Room {
		if runtime == "gpu" && l.InFlightOf([]string{"gpu"}) >= gpus {
			return Full
		}
		return Free
	}
	require.Equal(t, []string{"gpu1", "run"}, names(l.Take(9, start, room)))
	require.Equal(t, 2, l.Waiting())
	require.Zero(t, l.Ready())
	require.Empty(t, l.Take(9, start, room))
	l.Offer([]Candidate{{ID: "run2", Runtime: "offline"}})
	require.Equal(t, 1, l.Ready())
	require.Equal(t, []string{"run2"}, names(l.Take(9, start, room)))

	l.End("gpu1", "", start)
	l.Recheck()
	require.Equal(t, 2, l.Ready())
	require.Equal(t, map[string]bool{"gpu": true, "offline": true}, l.Runtimes())
	require.Equal(t, []string{"gpu2"}, names(l.Take(9, start, room)))
	require.True(t, l.Behind())
	l.Rewind()
	require.Zero(t, l.Ready())
}

// Fast executions of one runtime do not widen the window of another one.
func TestEndsCountForTheirRuntime(t *testing.T) {
	l := NewLane()
	l.Offer(runs(0, 5))
	for _, c := range l.Take(5, start, anyRuntime) {
		l.End(c.ID, "", start)
	}
	require.InDelta(t, 5, l.EndsPerSecond([]string{"gpu", "offline"}, start), 1e-9)
	require.Zero(t, l.EndsPerSecond([]string{"gpu"}, start))
}

func TestRepublishing(t *testing.T) {
	l := NewLane()
	l.Adopt(Candidate{ID: "adopted"})
	l.Offer(runs(0, 1))
	l.Take(1, start, anyRuntime)
	require.Equal(t, []string{"adopted"}, l.Unreported(start.Add(time.Second), 10*time.Second), "nobody tells of its end")
	require.ElementsMatch(t, []string{"adopted", "run0"}, l.Unreported(start.Add(10*time.Second), 10*time.Second))

	l.Unreport("unknown")
	l.Offer(runs(1, 1))
	l.Take(1, start, anyRuntime)
	l.Unreport("run1")
	require.ElementsMatch(t, []string{"adopted", "run1"}, l.Unreported(start.Add(time.Second), 10*time.Second))
	l.End("run1", "", start)

	require.False(t, l.Republish("run0", start.Add(44*time.Second)))
	require.True(t, l.Republish("run0", start.Add(45*time.Second)))
	require.False(t, l.Republish("run0", start.Add(134*time.Second)), "the next time after twice as long")
	require.True(t, l.Republish("run0", start.Add(135*time.Second)))
	require.False(t, l.Republish("unknown", start.Add(time.Hour)))
	now := start.Add(135 * time.Second)
	for range 20 {
		now = now.Add(maxRepublish)
		require.True(t, l.Republish("run0", now), "at least every hour")
	}
}

// Whatever is read, taken, put back and ended in any order: no execution is in flight twice, and each one is taken.
func TestLaneTakesEachOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, total := NewLane(), rapid.IntRange(1, 60).Draw(t, "total")
		queued := names(runs(0, total)) // what the store would say
		inFlight, ended := map[string]bool{}, 0
		for steps := 0; ended < total; steps++ {
			require.Less(t, steps, 5000)
			var page []Candidate
			for _, id := range queued[:min(len(queued), rapid.IntRange(1, 20).Draw(t, "page"))] {
				page = append(page, Candidate{ID: id})
			}
			l.Offer(page)
			taken := l.Take(rapid.IntRange(0, 5).Draw(t, "free"), start, anyRuntime)
			for _, c := range taken {
				require.False(t, inFlight[c.ID], "taken twice")
			}
			if rapid.Bool().Draw(t, "publish fails") {
				l.PutBack(taken)
				continue
			}
			for _, c := range taken {
				inFlight[c.ID] = true
			}
			for i := 0; i < len(queued); i++ {
				if inFlight[queued[i]] && rapid.Bool().Draw(t, "ends") {
					require.True(t, l.End(queued[i], "", start))
					delete(inFlight, queued[i])
					queued = append(queued[:i:i], queued[i+1:]...)
					ended++
					i--
				}
			}
			require.Equal(t, len(inFlight), l.InFlight())
		}
	})
}

// Turns of one conversation are accepted and end at any time, and the lane learns of the ends later. Each turn is
// published: by the end of the one before it, if it was accepted by then, and otherwise by the lane.
func TestEachTurnIsPublished(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type end struct{ id, next string }
		l := NewLane()
		accepted, ended := 0, 0 // numbers of turns, which the store knows
		published := map[string]bool{}
		var unseen []end
		name := func(i int) string { return fmt.Sprint("turn", i) }
		dispatch := func(free int) {
			var queued []Candidate
			for i := ended; i < accepted; i++ {
				queued = append(queued, Candidate{ID: name(i), ConversationID: "a"})
			}
			l.Offer(queued)
			for _, c := range l.Take(free, start, anyRuntime) {
				published[c.ID] = true
				for i := range ended {
					if name(i) == c.ID {
						unseen = append(unseen, end{id: c.ID}) // its claim is refused
					}
				}
			}
		}
		notice := func(lost bool) {
			if lost { // a check finds the end, and not what it has published
				unseen[0].next = ""
			}
			l.End(unseen[0].id, unseen[0].next, start)
			unseen = unseen[1:]
		}
		t.Repeat(map[string]func(*rapid.T){
			"accept":   func(*rapid.T) { accepted++ },
			"dispatch": func(t *rapid.T) { dispatch(rapid.IntRange(0, 3).Draw(t, "free")) },
			"rewind":   func(*rapid.T) { l.Rewind() },
			"end": func(t *rapid.T) {
				if ended == accepted || !published[name(ended)] {
					t.Skip("none runs")
				}
				e := end{id: name(ended)}
				if ended++; ended < accepted {
					e.next = name(ended)
					published[e.next] = true
				}
				unseen = append(unseen, e)
			},
			"notice": func(t *rapid.T) {
				if len(unseen) == 0 {
					t.Skip("all is noticed")
				}
				notice(rapid.Bool().Draw(t, "the signal is lost"))
			},
		})
		for range accepted + 1 {
			for len(unseen) > 0 {
				notice(false)
			}
			dispatch(1)
		}
		require.True(t, ended == accepted || published[name(ended)])
	})
}

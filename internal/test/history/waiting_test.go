package history

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// ran returns an execution that was accepted, claimed and finished at these seconds.
func ran(tenant, id string, accepted, claimed, finished int) []Version {
	versions := []Version{queued(id, accepted), running(id, claimed, 1, "x1"), succeeded(id, finished, 1, "x1")}
	for _, v := range versions {
		v.Execution.Tenant, v.Execution.Lane = tenant, execution.LaneInteractive
		v.Execution.CreatedAt, v.Execution.QueuedAt = at(accepted), at(accepted)
	}
	return versions
}

// flooded returns a history in which bob has 40 executions, which run for a second each on two slots, and ada one. All
// were accepted at once; that of ada was claimed after some seconds.
func flooded(seconds int, ofAda ...[]Version) History {
	h := History{Slots: map[execution.Lane]int{execution.LaneInteractive: 2, execution.LaneBatch: 1}}
	for i := range 40 {
		h.Versions = append(h.Versions, ran("bob", fmt.Sprintf("exe_bob%d", i), 0, 1+i/2, 2+i/2)...)
	}
	h.Versions = append(h.Versions, ran("ada", run, 0, seconds, seconds+1)...)
	return h.with(slices.Concat(ofAda...))
}

func (h History) with(versions []Version) History {
	h.Versions = slices.Concat(h.Versions, versions)
	return h
}

// Bob may have published 4 executions before the dispatcher decides, and ada 1: they take 3 s on 2 slots. 5 s more are
// for the calls. So 8 s are explained, and nothing above.
func TestWaitBound(t *testing.T) {
	t.Parallel()
	own := func(i int) []Version { return ran("ada", fmt.Sprintf("exe_ada%d", i), -1, 2+i, 3+i) }
	faults := func(h History) History {
		h.Faults = []TimeRange{{at(-9), at(-5)}, {at(2), at(4)}, {at(3), at(5)}, {at(60), at(70)}}
		return h
	}
	weighted := func(weight float64, h History) History {
		h.Weights = map[string]float64{"ada": weight}
		return h
	}
	again := func(h History) History {
		for _, v := range h.Versions {
			if v.Execution.ID == run {
				v.Execution.Attempt++
			}
		}
		return h
	}
	turnAfter := func(h History, end int) History {
		previous := ran("ada", "exe_previous", 0, end-1, end)
		for i, versions := range [][]Version{previous, h.Versions[len(h.Versions)-3:]} {
			for _, v := range versions {
				v.Execution.ConversationID, v.Execution.Turn = conversationID, 1+i
			}
		}
		return h.with(previous)
	}
	inBatch := func(h History) History {
		for _, v := range h.Versions {
			v.Execution.Lane = execution.LaneBatch
		}
		return h
	}
	for name, test := range map[string]struct {
		limit int
		ran   func(seconds int) History
	}{
		"alone with a flood": {8, func(s int) History { return flooded(s) }},
		// All 7 take 4 s. The window is 2, so the two are another turn, in which bob has 2 and ada 3: 3 s more.
		"two of its own before it":         {12, func(s int) History { return flooded(s, own(1), own(2)) }},
		"one of its own is in its window":  {8, func(s int) History { return flooded(s, own(1)) }},
		"twice the weight, a window of 3":  {9, func(s int) History { return weighted(2, flooded(s, own(1), own(2))) }},
		"faults of 3 s":                    {11, func(s int) History { return faults(flooded(s)) }},
		"another attempt":                  {8 + 12, func(s int) History { return again(flooded(s)) }},
		"a turn waits for the one before":  {8 + 3, func(s int) History { return turnAfter(flooded(s), 3) }},
		"one slot takes batches, 3 others": {9, func(s int) History { return inBatch(flooded(s)) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Empty(t, violationsOf(test.ran(test.limit), ruleWait))
			late := violationsOf(test.ran(test.limit+1), ruleWait)
			require.Len(t, late, 1)
			require.Equal(t, run, late[0].Subject)

			waits := Summarize(test.ran(test.limit)).Waits
			require.Equal(t, run, waits.Nearest.Execution)
			require.Equal(t, waits.Nearest.Took, waits.Nearest.Bound.Limit)
			require.Contains(t, waits.String(), waits.Nearest.Bound.String())
		})
	}
}

// violationsOf returns the violations of one rule.
func violationsOf(h History, rule string) []Violation {
	return slices.DeleteFunc(Check(h), func(v Violation) bool { return v.Rule != rule })
}

// Without slots, nothing says what a share is.
func TestWaitsAreCheckedOnlyWithSlots(t *testing.T) {
	t.Parallel()
	h := flooded(1000)
	require.NotEmpty(t, violationsOf(h, ruleWait))
	h.Slots = nil
	require.Empty(t, violationsOf(h, ruleWait))
	require.Zero(t, Summarize(h).Waits)
}

// An executor is killed at second 2, while it runs an execution.
func TestInterruptedExecutor(t *testing.T) {
	t.Parallel()
	killed := Interruption{Executor: "x1", From: at(2)}
	for name, test := range map[string]struct {
		interruptions []Interruption
		outages       []TimeRange
		limit         int // seconds after the kill
	}{
		"killed":             {[]Interruption{killed}, nil, 30},
		"stopped for longer": {[]Interruption{{"x1", at(2), at(33)}}, nil, 30},
		// The other one may have led. One that was interrupted long before did not, and neither did one afterwards.
		"another one is killed with it": {[]Interruption{killed, {"x2", at(5), at(9)}, {"x3", at(-29), at(-20)}, {"x4", at(200), at(201)}}, nil, 49},
		"Firestore is unavailable":      {[]Interruption{killed}, []TimeRange{{at(0), at(6)}, {at(10), at(12)}}, 36},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			history := func(seconds int) History {
				retry := queued(run, 2+seconds)
				retry.Execution.Attempt = 1
				return History{
					Versions:      []Version{queued(run, 0), running(run, 1, 1, "x1"), retry, running(run, 90, 2, "x2"), succeeded(run, 91, 2, "x2")},
					Interruptions: test.interruptions, Outages: test.outages,
				}
			}
			require.Empty(t, violationsOf(history(test.limit), ruleRequeued))
			require.Len(t, violationsOf(history(test.limit+1), ruleRequeued), 1)
			requeues := Summarize(history(test.limit)).Requeues
			require.Equal(t, Requeues{1, time.Duration(test.limit) * time.Second, time.Duration(test.limit) * time.Second}, requeues)
		})
	}
}

// An executor that goes on in time keeps its executions, and one that was interrupted before holds nothing any more.
func TestInterruptionsWithoutEffect(t *testing.T) {
	t.Parallel()
	for name, i := range map[string]Interruption{
		"it goes on in time":   {"x1", at(2), at(31)},
		"another executor":     {"x2", at(2), time.Time{}},
		"before the claim":     {"x1", at(0), time.Time{}},
		"after the end":        {"x1", at(50), time.Time{}},
		"the end is in time":   {"x1", at(20), time.Time{}},
		"at the time of end":   {"x1", at(50), at(51)},
		"stopped after an end": {"x1", at(60), at(100)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := History{Versions: ran("ada", run, 0, 1, 50), Interruptions: []Interruption{i}}
			require.Empty(t, violationsOf(h, ruleRequeued))
		})
	}
}

package usage

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// However many agents and labels a tenant has in a day, a part stays far below Firestore's 1 MiB, and nothing is lost.
func TestPartIsBounded(t *testing.T) {
	var agents, labels Part
	const n = 3 * MaxRows
	for i := range n {
		e := Entry{
			Key:    Key{AgentID: fmt.Sprintf("agt_%028d", i), Model: strings.Repeat("m", 60), Kind: execution.KindRun, Lane: execution.LaneBatch},
			Counts: Counts{Succeeded: 1, Attempts: 1, CostNanoUSD: 7, InputTokens: 3},
			Labels: []execution.Label{"env=prod", execution.Label("request=" + strings.Repeat("x", 400) + fmt.Sprint(i))},
		}
		agents.Add(e)
		labels.AddLabels(e)
	}
	require.Len(t, agents.Rows, MaxRows+1)
	require.Less(t, len(labels.Rows), MaxRows, "the labels are long")
	require.EqualValues(t, 7*n, agents.CostNanoUSD)
	sum := func(p *Part) (total Counts) {
		for _, row := range p.Rows {
			total = total.Add(row.Counts)
		}
		return total
	}
	require.Equal(t, Counts{Succeeded: n, Attempts: n, CostNanoUSD: 7 * n, InputTokens: 3 * n}, sum(&agents))
	require.EqualValues(t, 2*n, sum(&labels).Succeeded)
	for _, part := range []Part{agents, labels} {
		data, err := json.Marshal(part)
		require.NoError(t, err)
		require.Less(t, len(data), 700<<10)
	}
	last := labels.Rows[len(labels.Rows)-1]
	require.EqualValues(t, Other, last.Label)
}

// An execution counts once in the row of other labels, however many of its labels have no room.
func TestOtherLabelsCountAnExecutionOnce(t *testing.T) {
	var part Part
	for i := range MaxRows {
		part.AddLabels(Entry{Labels: []execution.Label{execution.Label(fmt.Sprintf("n=%d", i))}, Counts: Counts{Failed: 1}})
	}
	e := Entry{Labels: []execution.Label{"a=1", "b=2", "n=7"}, Counts: Counts{Succeeded: 1, CostNanoUSD: 5}}
	part.AddLabels(e)
	stored := Part{Rows: part.Rows}
	stored.AddLabels(e)
	require.Len(t, stored.Rows, MaxRows+1)
	require.Equal(t, Row{Key: Key{Label: Other}, Counts: Counts{Succeeded: 2, CostNanoUSD: 10}}, stored.Rows[MaxRows])
	require.Equal(t, Counts{Failed: 1, Succeeded: 2, CostNanoUSD: 10}, stored.Rows[7].Counts)
}

// A part that was read goes on where the one that was written ended.
func TestStoredPartGoesOn(t *testing.T) {
	e := Entry{Day: "2026-11-30", Key: Key{AgentID: "agt_1"}, Counts: Counts{Failed: 1}, DailyBudget: agent.DailyBudget{USD: 1}}
	var first Part
	first.Add(e)
	stored := Part{Day: first.Day, Rows: first.Rows, AgentCosts: first.AgentCosts}
	stored.Add(e)
	require.Equal(t, []Row{{Key: e.Key, Counts: Counts{Failed: 2}}}, stored.Rows)
}

func TestMoneyDoesNotDrift(t *testing.T) {
	var total Counts
	for range 1_000_000 {
		total = total.Add(Counts{CostNanoUSD: NanoUSD(0.1)})
	}
	require.InDelta(t, 100_000, USD(total.CostNanoUSD), 0)
}

func TestDayIsOfUTC(t *testing.T) {
	zone := time.FixedZone("west", -8*3600)
	at := time.Date(2026, 11, 30, 17, 30, 0, 0, zone)
	require.Equal(t, "2026-12-01", DayOf(at))
	require.Equal(t, 22*time.Hour+30*time.Minute, UntilNextDay(at))
}

func TestReportIsBounded(t *testing.T) {
	report := Report{By: Dimensions{Day: true, Label: true}}
	var err error
	for day := 0; err == nil && day < 100; day++ {
		part := Part{Day: fmt.Sprint(day)}
		for i := range MaxRows {
			part.Rows = append(part.Rows, Row{Key: Key{Label: execution.Label(fmt.Sprint("a=", i))}})
		}
		err = report.Add(&part)
	}
	require.ErrorIs(t, err, ErrTooManyGroups)
}

func TestPartsAreSpread(t *testing.T) {
	names := map[string]bool{}
	for i := range 1000 {
		names[PartName("2026-11-30", fmt.Sprint("prc_", i))] = true
	}
	require.Len(t, names, Parts)
}

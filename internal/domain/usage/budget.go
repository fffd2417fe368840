package usage

import (
	"math"
	"time"

	"github.com/airlock-run/airlock/internal/domain/agent"
)

// Spent is what a tenant has spent on the current day.
type Spent struct {
	Day          string // the current day
	NanoUSD      int64
	AgentNanoUSD map[string]int64 // of the agents that have a daily budget
	UntilNextDay time.Duration
	NextDay      time.Time // Firestore's time
}

// Level says which limit of a daily budget was reached.
type Level string

// The levels.
const (
	Soft Level = "soft" // a warning
	Hard Level = "hard" // no further attempt begins on that day
)

// Warning says that a limit of a daily budget was reached. Its Firestore document is this struct. There is at most one
// for each day, limit and level.
type Warning struct {
	Tenant   string  `firestore:"-"`
	Day      string  `firestore:"day"`
	Level    Level   `firestore:"level"`
	AgentID  string  `firestore:"agentId,omitempty"` // empty: the budget of the tenant
	LimitUSD float64 `firestore:"limitUsd"`
	// SoftLimit is the part of the daily budget that a soft limit is, from 0 to 1; 0: there is no daily budget.
	SoftLimit float64   `firestore:"softLimit,omitempty"`
	SpentUSD  float64   `firestore:"spentUsd"` // when it was noticed
	At        time.Time `firestore:"at,serverTimestamp"`
	Expires   time.Time `firestore:"expires"` // Firestore deletes it some time later
}

// Reached returns a warning for each limit of a daily budget that spending reaches, without tenant, agent and day.
func Reached(b agent.DailyBudget, spentNanoUSD int64) (warnings []Warning) {
	for _, limit := range []struct {
		level Level
		usd   float64
	}{{Soft, b.SoftUSD}, {Hard, b.USD}} {
		if limit.usd > 0 && spentNanoUSD >= NanoUSD(limit.usd) {
			w := Warning{Level: limit.level, LimitUSD: limit.usd, SpentUSD: USD(spentNanoUSD)}
			if limit.level == Soft && b.USD > 0 {
				w.SoftLimit = math.Round(1e6*limit.usd/b.USD) / 1e6
			}
			warnings = append(warnings, w)
		}
	}
	return warnings
}

// Spending says whose executions have ended, and what they have cost: a limit may be reached.
type Spending struct {
	NanoUSD int64
	Tenant  string
	Day     string
	Agents  map[string]agent.DailyBudget // those that have one
}

package usage

import (
	"cmp"
	"errors"
	"slices"
	"strings"
)

// Dimensions say by what a report groups. Label excludes all others but Day: an execution has several labels, and the
// rows of labels have nothing else.
type Dimensions struct {
	Day, Agent, Model, Kind, Lane, Label bool
}

// Group is a row of a report. A field that the report does not group by is empty.
type Group struct {
	Day string
	Row
}

// MaxGroups bounds a report.
const MaxGroups = 10_000

// ErrTooManyGroups means that a report has more than MaxGroups groups.
var ErrTooManyGroups = errors.New("the report has too many groups")

// Report sums up parts of days. The zero Report has one group for everything.
type Report struct {
	By    Dimensions
	Total Counts
	sums  map[groupKey]Counts
}

type groupKey struct {
	day string
	key Key
}

// Add adds a part of a day, or returns ErrTooManyGroups.
func (r *Report) Add(part *Part) error {
	if r.sums == nil {
		r.sums = map[groupKey]Counts{}
	}
	for _, row := range part.Rows {
		k := groupKey{key: r.By.of(row.Key)}
		if r.By.Day {
			k.day = part.Day
		}
		r.sums[k] = r.sums[k].Add(row.Counts)
		r.Total = r.Total.Add(row.Counts)
	}
	if len(r.sums) > MaxGroups {
		return ErrTooManyGroups
	}
	return nil
}

// Groups returns the groups in the order of their days, the most expensive of a day first, then those with the most
// executions.
func (r *Report) Groups() []Group {
	groups := make([]Group, 0, len(r.sums))
	for k, c := range r.sums {
		groups = append(groups, Group{k.day, Row{k.key, c}})
	}
	slices.SortFunc(groups, func(a, b Group) int {
		return cmp.Or(
			strings.Compare(a.Day, b.Day), cmp.Compare(b.CostNanoUSD, a.CostNanoUSD), cmp.Compare(b.Executions(), a.Executions()),
			strings.Compare(a.AgentID, b.AgentID), strings.Compare(a.Model, b.Model), cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Label, b.Label),
		)
	})
	return groups
}

// of returns the key with the dimensions of the report only.
func (by Dimensions) of(k Key) (grouped Key) {
	if by.Agent {
		grouped.AgentID = k.AgentID
	}
	if by.Model {
		grouped.Model = k.Model
	}
	if by.Kind {
		grouped.Kind = k.Kind
	}
	if by.Lane {
		grouped.Lane = k.Lane
	}
	if by.Label {
		grouped.Label = k.Label
	}
	return grouped
}

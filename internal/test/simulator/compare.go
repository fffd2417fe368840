package simulator

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"text/tabwriter"
)

// Compare writes the medians of two commits' figures side by side, with their ratio. Reports of the same scenario with
// the same parameters belong together.
func Compare(w io.Writer, base, now []Report) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	key := func(r Report) string { return fmt.Sprint(r.Scenario, " ", r.Parameters) } // maps are printed in order
	before, after := groupFigures(base, key), groupFigures(now, key)
	for _, scenario := range slices.Sorted(maps.Keys(after)) {
		fmt.Fprintf(table, "%s\n  median of\tbase\tnow\tnow/base\n", scenario)
		for _, figure := range slices.Sorted(maps.Keys(after[scenario])) {
			b, n := median(before[scenario][figure]), median(after[scenario][figure])
			if len(before[scenario][figure]) == 0 {
				b = math.NaN() // the base does not measure it
			}
			fmt.Fprintf(table, "  %s\t%.4g\t%.4g\t%.3f\n", figure, b, n, n/b)
		}
	}
	return table.Flush()
}

// groupFigures returns the values of each figure, by the key of the report.
func groupFigures(reports []Report, key func(Report) string) map[string]map[string][]float64 {
	groups := map[string]map[string][]float64{}
	for _, r := range reports {
		group := groups[key(r)]
		if group == nil {
			group = map[string][]float64{}
			groups[key(r)] = group
		}
		for figure, value := range r.Figures {
			group[figure] = append(group[figure], value)
		}
	}
	return groups
}

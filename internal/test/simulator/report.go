package simulator

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"
)

// Report is the result of a scenario.
type Report struct {
	Scenario   string             `json:"scenario"`
	Parameters map[string]string  `json:"parameters"`
	Figures    map[string]float64 `json:"figures"`
	// Counts are those of the measured part.
	Counts Counts `json:"counts,omitempty"`
}

func newReport(scenario string, parameters ...any) Report {
	r := Report{Scenario: scenario, Parameters: map[string]string{}, Figures: map[string]float64{}}
	for i := 0; i < len(parameters); i += 2 {
		r.Parameters[parameters[i].(string)] = fmt.Sprint(parameters[i+1])
	}
	return r
}

// perExecution sets what n executions cost, each.
func (r *Report) perExecution(c Counts, n int) {
	each := func(total int64) float64 { return float64(total) / float64(n) }
	r.Counts = c
	r.Figures["reads per execution"] = each(c.Sum(Reads))
	r.Figures["writes per execution"] = each(c.Sum(Writes))
	r.Figures["writes of executions per execution"] = each(c[Writes]["executions"])
	r.Figures["writes without bundles per execution"] = each(c.SumWithout(Writes, bundled...))
	r.Figures["deletes per execution"] = each(c.Sum(Deletes))
	r.Figures["published per execution"] = each(c.Sum(Published))
	r.Figures["deliveries per execution"] = each(c.Sum(Deliveries))
	r.Figures["message bytes per execution"] = each(c.Sum(MessageBytes))
	r.Figures["calls per execution"] = each(c.SumWithout(Calls, "Pull", "StreamingPull", "Listen"))
	r.Figures["failed calls per execution"] = each(c.Sum(FailedCalls))
	r.Figures["USD per million executions"] = 1e6 * Prices.Of(c) / float64(n)
}

// perSecond sets what a time costs.
func (r *Report) perSecond(prefix string, c Counts, took time.Duration) {
	each := func(total int64) float64 { return float64(total) / took.Seconds() }
	r.Figures[prefix+"reads/s"] = each(c.Sum(Reads))
	r.Figures[prefix+"writes/s"] = each(c.Sum(Writes))
	r.Figures[prefix+"calls/s"] = each(c.SumWithout(Calls, "Pull", "StreamingPull", "Listen"))
	r.Figures[prefix+"USD per month"] = Prices.Of(c) / took.Seconds() * secondsPerMonth
}

// waits sets the median and the 95th percentile of waits, in milliseconds.
func (r *Report) waits(name string, waits []time.Duration) {
	if len(waits) == 0 {
		return
	}
	slices.Sort(waits)
	r.Figures[name+" p50 ms"] = milliseconds(waits[len(waits)/2])
	r.Figures[name+" p95 ms"] = milliseconds(waits[min(len(waits)-1, len(waits)*95/100)])
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// WriteJSON writes the report as one line.
func (r Report) WriteJSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

// ReadReports reads the lines that WriteJSON has written.
func ReadReports(r io.Reader) (reports []Report, err error) {
	for lines := json.NewDecoder(r); ; {
		var report Report
		switch err := lines.Decode(&report); err {
		case nil:
			reports = append(reports, report)
		case io.EOF:
			return reports, nil
		default:
			return nil, err
		}
	}
}

// WriteTable writes the report for people.
func (r Report) WriteTable(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%s %v\n", r.Scenario, r.Parameters)
	for _, name := range slices.Sorted(maps.Keys(r.Figures)) {
		fmt.Fprintf(table, "  %s\t%.4g\n", name, r.Figures[name])
	}
	for _, kind := range slices.Sorted(maps.Keys(r.Counts)) {
		for _, name := range slices.Sorted(maps.Keys(r.Counts[kind])) {
			fmt.Fprintf(table, "  %s of %s\t%d\n", kind, name, r.Counts[kind][name])
		}
	}
	return table.Flush()
}

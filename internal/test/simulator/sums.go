package simulator

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
)

// Load is what the sums are computed for.
type Load struct {
	Processes float64 // executors
	PerDay    float64 // executions
	Seconds   float64 // of each
	Waiting   float64 // executions of one tenant
}

// TargetLoad is what Airlock is designed for.
var TargetLoad = Load{Processes: 1000, PerDay: 10e6, Seconds: 60, Waiting: 1e6}

// usage is a number of operations, of one execution or of one second.
type usage struct{ reads, writes, deletes, bytes float64 }

func (u usage) times(n float64) usage {
	return usage{u.reads * n, u.writes * n, u.deletes * n, u.bytes * n}
}

func (u usage) plus(v usage) usage {
	return usage{u.reads + v.reads, u.writes + v.writes, u.deletes + v.deletes, u.bytes + v.bytes}
}

func (u usage) usd() float64 {
	return u.reads*Prices.Read + u.writes*Prices.Write + u.deletes*Prices.Delete + u.bytes*Prices.MessageByte
}

// WriteSums computes from measured reports what a load costs. What depends on the size of the fleet or of the backlog
// is a straight line through the smallest and the largest that were measured, so it needs two reports of plain and of
// idle with different numbers of executors, and two of backlog with different numbers of waiting executions. Of a plain
// execution, only the bytes of its messages are taken to depend on the size of the fleet.
func WriteSums(w io.Writer, reports []Report, load Load) error {
	lines := measuredLines{reports}
	small := lines.smallest("plain", "executors")
	execution := usage{
		small.Figures["net reads per execution"], small.Figures["net writes per execution"],
		small.Figures["deletes per execution"], small.Figures["message bytes per execution"],
	}
	idle := lines.perSecond("idle", "executors", "", load.Processes)
	// What the smallest backlog reads and writes while its slots are busy, less what an idle fleet of that size does, is
	// the cost of its running jobs.
	busy := lines.smallest("backlog", "each")
	slots := busy.number("executors") * busy.number("slots")
	running := usage{reads: busy.Figures["all slots busy: reads/s"], writes: busy.Figures["all slots busy: writes/s"]}
	running = running.plus(lines.perSecond("idle", "executors", "", busy.number("executors")).times(-1)).times(1 / slots)
	waiting := lines.perSecond("backlog", "each", "all slots busy: ", load.Waiting)
	waiting = waiting.plus(lines.perSecond("backlog", "each", "all slots busy: ", busy.number("each")).times(-1))

	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\treads\twrites\tdeletes\tUSD\t")
	row := func(name string, u usage) {
		fmt.Fprintf(table, "%s\t%.6g\t%.6g\t%.6g\t%.4g\t\n", name, u.reads, u.writes, u.deletes, u.usd())
	}
	row("1,000 plain executions, "+small.Parameters["executors"]+" executors", execution.times(1000))
	execution.bytes = lines.at("plain", "executors", "message bytes per execution", load.Processes)
	row(fmt.Sprintf("1,000 plain executions, %.0f executors", load.Processes), execution.times(1000))
	row(fmt.Sprintf("1,000 jobs that run for %.0f s, besides", load.Seconds), running.times(1000*load.Seconds))
	row(fmt.Sprintf("idle fleet of %.0f, a month", load.Processes), idle.times(secondsPerMonth))
	row(fmt.Sprintf("%.0f executions wait, a month, besides", load.Waiting), waiting.times(secondsPerMonth))
	perMonth := load.PerDay * secondsPerMonth / secondsPerDay
	total := execution.plus(running.times(load.Seconds)).times(perMonth).plus(idle.plus(waiting).times(secondsPerMonth))
	row(fmt.Sprintf("all of it, %.0f executions a day, a month", load.PerDay), total)
	return table.Flush()
}

// measuredLines finds figures among reports.
type measuredLines struct{ reports []Report }

// of returns the reports of a scenario in the order of a parameter.
func (m measuredLines) of(scenario, parameter string) (list []Report) {
	for _, r := range m.reports {
		// The scenario of many tenants is measured apart.
		if r.Scenario == scenario && (r.Parameters["tenants"] == "" || r.Parameters["tenants"] == "1") {
			list = append(list, r)
		}
	}
	slices.SortStableFunc(list, func(a, b Report) int { return cmp.Compare(a.number(parameter), b.number(parameter)) })
	return list
}

func (m measuredLines) smallest(scenario, parameter string) Report {
	if list := m.of(scenario, parameter); len(list) > 0 {
		return list[0]
	}
	return newReport(scenario)
}

// at returns a figure at a value of a parameter, by the line through the smallest and the largest that was measured.
func (m measuredLines) at(scenario, parameter, figure string, x float64) float64 {
	list := m.of(scenario, parameter)
	if len(list) == 0 {
		return 0
	}
	first, last := list[0], list[len(list)-1]
	x1, x2, y1, y2 := first.number(parameter), last.number(parameter), first.Figures[figure], last.Figures[figure]
	if x1 == x2 {
		return y1
	}
	return y1 + (x-x1)*(y2-y1)/(x2-x1)
}

func (m measuredLines) perSecond(scenario, parameter, prefix string, x float64) usage {
	return usage{
		reads:  m.at(scenario, parameter, prefix+"reads/s", x),
		writes: m.at(scenario, parameter, prefix+"writes/s", x),
	}
}

// number returns a parameter; 0 if it is not a number.
func (r Report) number(parameter string) float64 {
	n, _ := strconv.ParseFloat(r.Parameters[parameter], 64)
	return n
}

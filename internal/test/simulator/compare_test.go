package simulator

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func reportWith(scenario, parameter string, value int, figures map[string]float64) Report {
	r := newReport(scenario, parameter, value, "slots", 8)
	r.Figures = figures
	return r
}

func TestCompareShowsMediansAndRatio(t *testing.T) {
	t.Parallel()
	var base, now []Report
	for i, value := range []float64{4, 100, 2} {
		base = append(base, reportWith("plain", "executors", 4, map[string]float64{"reads": value}))
		now = append(now, reportWith("plain", "executors", 4, map[string]float64{"reads": float64(i + 1), "new": 7}))
	}
	var out strings.Builder
	require.NoError(t, Compare(&out, base, now))
	require.Equal(t, []string{"reads", "4", "2", "0.500"}, strings.Fields(lineWith(t, out.String(), "reads")))
	require.Equal(t, []string{"new", "NaN", "7", "NaN"}, strings.Fields(lineWith(t, out.String(), "new ")))
}

// What was measured in small is extended in a straight line: a fleet of which each process reads 2 documents a second
// costs a thousand times that.
func TestSumsExtendLines(t *testing.T) {
	t.Parallel()
	var reports []Report
	for _, executors := range []int{1, 11} {
		reports = append(reports,
			reportWith("idle", "executors", executors, map[string]float64{"reads/s": 1 + 2*float64(executors)}),
			reportWith("plain", "executors", executors, map[string]float64{"net reads per execution": 3, "net writes per execution": 4}))
	}
	for _, waiting := range []int{1000, 2000} {
		r := reportWith("backlog", "each", waiting, map[string]float64{"all slots busy: reads/s": 3 + 8 + float64(waiting-1000)/1000})
		r.Parameters["executors"] = "1"
		reports = append(reports, r)
	}
	var out, again strings.Builder
	require.NoError(t, WriteSums(&out, reports, TargetLoad))
	numbers := func(row string) []string {
		fields := strings.Fields(lineWith(t, out.String(), row))
		return fields[len(fields)-4:]
	}
	require.Equal(t, []string{"3000", "4000", "0", "0.0045"}, numbers("plain executions, 1000"))
	require.Equal(t, "5.18659e+09", numbers("idle fleet")[0], "2,001 reads a second for 30 days")
	require.Equal(t, "60000", numbers("that run for 60 s")[0], "8 slots read 8 documents a second more than an idle fleet of one")
	require.Equal(t, "2.58941e+09", numbers("wait, a month")[0], "1 read a second for each 1,000, without the first 1,000")

	// The reports survive being written as lines.
	for _, r := range reports {
		require.NoError(t, r.WriteJSON(&again))
	}
	read, err := ReadReports(strings.NewReader(again.String()))
	require.NoError(t, err)
	require.Equal(t, reports, read)
}

func lineWith(t *testing.T, text, part string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return line
		}
	}
	require.Fail(t, "no line with "+part, text)
	return ""
}

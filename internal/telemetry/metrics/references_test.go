package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
)

// series returns the names that the metrics have in queries, with their labels.
func series() map[string][]string {
	known := map[string][]string{}
	for _, m := range All() {
		if m.Type != "histogram" {
			known[m.Name] = m.Labels
			continue
		}
		known[m.Name+"_bucket"] = append(slices.Clone(m.Labels), "le")
		known[m.Name+"_sum"], known[m.Name+"_count"] = m.Labels, m.Labels
	}
	return known
}

// checkQuery returns an error if a query names a metric or a label that does not exist.
func checkQuery(query string) error {
	parsed, err := parser.ParseExpr(query)
	if err != nil {
		return err
	}
	var labels []string
	parser.Inspect(parsed, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok && err == nil {
			found, known := series()[s.Name]
			if !known {
				err = fmt.Errorf("no such metric: %q", s.Name)
			}
			labels = append(labels, found...)
			for _, m := range s.LabelMatchers {
				if m.Name != "__name__" && !slices.Contains(found, m.Name) {
					err = fmt.Errorf("%s has no label %q", s.Name, m.Name)
				}
			}
		}
		return nil
	})
	parser.Inspect(parsed, func(n parser.Node, _ []parser.Node) error {
		if a, ok := n.(*parser.AggregateExpr); ok && err == nil {
			for _, name := range a.Grouping {
				if !slices.Contains(labels, name) {
					err = fmt.Errorf("no metric of %s has the label %q", query, name)
				}
			}
		}
		return nil
	})
	return err
}

func TestCheckQueryRejectsUnknownNames(t *testing.T) {
	require.NoError(t, checkQuery(`sum by (lane) (airlock_queue_depth)`))
	for _, wrong := range []string{
		`airlock_nothing`, `airlock_queue_depth{tenant="a"}`, `sum by (tenant) (airlock_queue_depth)`, `airlock_dispatch_seconds`, `sum(`,
	} {
		require.Error(t, checkQuery(wrong), wrong)
	}
}

func TestDashboardUsesKnownMetrics(t *testing.T) {
	data, err := os.ReadFile("../../../infra/grafana/airlock.json")
	require.NoError(t, err)
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	require.NoError(t, json.Unmarshal(data, &dashboard))
	require.NotEmpty(t, dashboard.Panels)
	shown := string(data)
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			require.NoError(t, checkQuery(target.Expr), p.Title)
			for _, legend := range regexp.MustCompile(`{{(\w+)}}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				require.Contains(t, target.Expr, legend[1], "%s: the legend names a label that the query does not keep", p.Title)
			}
		}
	}
	for _, m := range All() {
		if !strings.Contains(shown, m.Name) {
			t.Errorf("add a panel that shows %s to infra/grafana/airlock.json", m.Name)
		}
	}
}

func TestAlertsUseKnownMetrics(t *testing.T) {
	data, err := os.ReadFile("../../../infra/prometheus/alerts.yaml")
	require.NoError(t, err)
	groups, errs := rulefmt.Parse(data, false, model.UTF8Validation)
	require.Empty(t, errs)
	for _, g := range groups.Groups {
		for _, rule := range g.Rules {
			require.NoError(t, checkQuery(rule.Expr), rule.Alert)
			require.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
		}
	}
}

func TestDocsListEveryMetric(t *testing.T) {
	const page = "docs/observability.md"
	data, err := os.ReadFile("../../../" + page)
	require.NoError(t, err)
	var rows []string
	for _, m := range All() {
		labels := ""
		if len(m.Labels) > 0 {
			labels = "`" + strings.Join(m.Labels, "`, `") + "`"
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |", m.Name, m.Type, labels, m.Help))
	}
	shown := regexp.MustCompile("(?m)^\\| `airlock_.*$").FindAllString(string(data), -1)
	for _, row := range rows {
		if !slices.Contains(shown, row) {
			t.Errorf("add this row to %s:\n%s", page, row)
		}
	}
	for _, row := range shown {
		if !slices.Contains(rows, row) {
			t.Errorf("remove this row from %s:\n%s", page, row)
		}
	}
	if !t.Failed() && !slices.Equal(rows, shown) {
		t.Errorf("order the rows of %s like the metrics in the code", page)
	}
}

// An unbounded label would make the number of series unbounded.
func TestLabelsAreBounded(t *testing.T) {
	bounded := []string{
		"lane", "runtime", "status", "code", "start", "cause", "outcome", "model", "direction", "method", "route", "state", "loop",
		"kind", "document",
		"scope", "level", "for",
	}
	for _, m := range All() {
		for _, label := range m.Labels {
			require.Contains(t, bounded, label, "%s: is the number of its values bounded by the configuration?", m.Name)
		}
		require.True(t, strings.HasPrefix(m.Name, "airlock_"), m.Name)
		require.Equal(t, m.Type == "counter", strings.HasSuffix(m.Name, "_total"), m.Name)
	}
}

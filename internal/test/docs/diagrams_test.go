package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

const module = "github.com/airlock-run/airlock/"

// edges of a graph: from a node to those that it leads to.
type edges map[string]map[string]bool

func (e edges) add(from, to string) {
	if e[from] == nil {
		e[from] = map[string]bool{}
	}
	e[from][to] = true
}

// reachable reports whether a path of at least one edge leads from one node to the other, not counting the edge skip.
func (e edges) reachable(from, to, skip string) bool {
	var visit func(string) bool
	seen := map[string]bool{}
	visit = func(at string) bool {
		for next := range e[at] {
			if at == from && next == skip || seen[next] {
				continue
			}
			if seen[next] = true; next == to || visit(next) {
				return true
			}
		}
		return false
	}
	return visit(from)
}

// reduced leaves out each edge beside which a longer path leads to the same node.
func (e edges) reduced() edges {
	fewer := edges{}
	for from, targets := range e {
		for to := range targets {
			if !e.reachable(from, to, to) {
				fewer.add(from, to)
			}
		}
	}
	return fewer
}

func (e edges) mermaid(arrow string) []string {
	var lines []string
	for _, from := range slices.Sorted(maps.Keys(e)) {
		for _, to := range slices.Sorted(maps.Keys(e[from])) {
			lines = append(lines, fmt.Sprintf("    %s %s %s", from, arrow, to))
		}
	}
	return lines
}

// The diagram of the packages in docs/architecture.md has exactly the imports of the code: each folder below internal
// is one node, and an import that a longer path implies is left out.
func TestDiagramOfPackagesMatchesImports(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	list.Dir = root
	out, err := list.Output()
	require.NoError(t, err)
	imports := edges{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		from := node(words[0])
		if from == "" || from == "internal/test" {
			continue
		}
		for _, path := range words[1:] {
			if to := node(path); to != "" && to != from {
				imports.add(from, to)
			}
		}
	}
	for from := range imports {
		require.False(t, imports.reachable(from, from, ""), "the packages of %s import each other in a circle", from)
	}
	requireDiagram(t, "flowchart TD", imports.reduced().mermaid("-->"))
}

// node is the folder that a package belongs to in the diagram; "" for what is not ours.
func node(path string) string {
	path, ours := strings.CutPrefix(path, module)
	if !ours {
		return ""
	}
	parts := strings.Split(path, "/")
	switch parts[0] {
	case "internal", "cmd":
		if parts[1] == "telemetry" { // three that have little to do with each other
			return strings.Join(parts[:3], "/")
		}
		return parts[0] + "/" + parts[1]
	case "images":
		return ""
	default:
		return parts[0]
	}
}

// The diagram of the states has exactly the transitions that execution.Apply makes.
func TestDiagramOfStatesMatchesTransitions(t *testing.T) {
	transitions := edges{"[*]": {"queued": true}}
	now := time.Unix(1e9, 0)
	seen := map[string]bool{} // events
	for _, before := range states(now) {
		for _, event := range events() {
			name := strings.TrimPrefix(fmt.Sprintf("%T", event), "execution.")
			seen[name] = true
			for _, at := range []time.Time{now, before.StartDeadline(), now.Add(time.Hour)} {
				after := before
				if err := after.Apply(event, at); err != nil || after.Status == before.Status {
					continue
				}
				transitions.add(string(before.Status), fmt.Sprintf("%s: %s", after.Status, name))
			}
		}
	}
	defined, statuses := definedInDomain(t)
	require.ElementsMatch(t, defined, slices.Collect(maps.Keys(seen)), "events() has an example of every event")
	for _, s := range statuses {
		if execution.Status(s).Terminal() {
			transitions.add(s, "[*]")
		}
		require.Contains(t, transitions, s, "states() has no execution that leaves this state")
	}
	requireDiagram(t, "stateDiagram-v2", transitions.mermaid("-->"))
}

// states are executions before an event: queued and running, with and without attempts left, asked to be canceled or
// not, with a retry policy, and with a start deadline before the end of the attempt.
func states(now time.Time) (list []execution.Execution) {
	for _, limits := range []execution.Limits{
		{}, {RetryPolicy: agent.RetryPolicy{MaxAttempts: 3}}, {QueueTimeout: 30 * time.Second},
	} {
		for _, failed := range []int{0, execution.DefaultMaxAttempts - 1} {
			for _, cancel := range []bool{false, true} {
				queued := execution.New(execution.Spec{Tenant: "ada", Kind: execution.KindRun, Limits: limits}, now)
				queued.FailedAttempts = failed
				if failed > 0 {
					queued.StartFailures = &execution.StartFailures{Count: execution.MaxStartFailures - 1}
				}
				running := queued
				if err := running.Apply(execution.Claimed{Executor: "x"}, now); err != nil {
					panic(err)
				}
				running.CancelRequested = cancel
				list = append(list, queued, running)
			}
		}
	}
	return list
}

// events has an example of every event, and of JobEnded one for each way in which a job ends.
func events() []execution.Event {
	list := []execution.Event{
		execution.Claimed{Executor: "y"}, execution.Deferred{}, execution.LeaseExpired{},
		execution.AttemptFailed{Attempt: 1}, execution.StartFailed{Attempt: 1},
		execution.HandedBack{Attempt: 1}, execution.Overdue{}, execution.CancelRequested{}, execution.DeadLettered{},
		execution.JobEnded{Attempt: 1, Ending: execution.Ending{Status: execution.Succeeded, Result: &execution.Result{}}},
	}
	for _, code := range []execution.Code{execution.CodeAgentError, execution.CodeTimedOut, execution.CodeCanceled} {
		failure := execution.Failure{Code: code}
		list = append(list, execution.JobEnded{Attempt: 1, Ending: failure.Ending(execution.Usage{})})
	}
	return list
}

// definedInDomain returns the events of package execution, which are the types with a method apply, and its statuses.
func definedInDomain(t *testing.T) (events, statuses []string) {
	t.Helper()
	files, err := filepath.Glob(root + "/internal/domain/execution/*.go")
	require.NoError(t, err)
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Name.Name == "apply" && n.Recv != nil {
					events = append(events, n.Recv.List[0].Type.(*ast.Ident).Name)
				}
			case *ast.ValueSpec:
				if typ, ok := n.Type.(*ast.Ident); ok && typ.Name == "Status" && len(n.Values) == 1 {
					value, err := strconv.Unquote(n.Values[0].(*ast.BasicLit).Value)
					require.NoError(t, err)
					statuses = append(statuses, value)
				}
			}
			return true
		})
	}
	require.NotEmpty(t, events)
	require.NotEmpty(t, statuses)
	return events, statuses
}

// requireDiagram finds the one mermaid block of docs/architecture.md that begins with kind.
func requireDiagram(t *testing.T, kind string, want []string) {
	t.Helper()
	page, err := os.ReadFile(root + "/docs/architecture.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```mermaid\n" + kind + "\n(.*?)\n```").FindStringSubmatch(string(page))
	require.NotNil(t, block, "docs/architecture.md has no mermaid block with %s", kind)
	require.Equal(t, strings.Join(want, "\n"), block[1], "docs/architecture.md shows what the code no longer does; the right side of the comparison is the page")
}

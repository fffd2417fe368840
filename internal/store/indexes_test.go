package store

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	"github.com/airlock-run/airlock/internal/test/strict"
)

func TestMain(m *testing.M) { emulatortest.Main(indexCheck{m}) }

// indexCheck holds the queries of all tests of this package against infra/firestore.indexes.json, when the last test
// has ended: each has its index, and each index has a query.
type indexCheck struct{ *testing.M }

// Run implements goleak.TestingM.
func (c indexCheck) Run() int {
	code := c.M.Run()
	indexes, err := strict.Indexes()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, q := range indexes.Queries() {
		if q.Missing != "" {
			fmt.Fprintln(os.Stderr, q.Missing)
			code = 1
		} else if testing.Verbose() {
			fmt.Printf("%6d %s\n       %q\n", q.Count, q.Query, q.Indexes)
		}
	}
	if code != 0 || !allTests() {
		return code
	}
	for _, index := range indexes.Unused() {
		fmt.Fprintf(os.Stderr, "infra/firestore.indexes.json has this without need, no query of the tests uses it: %s\n", index)
		code = 1
	}
	return code
}

// allTests reports whether no flag has left tests out.
func allTests() bool {
	all := true
	flag.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "test.run", "test.skip", "test.list", "test.fuzz", "test.bench":
			all = all && f.Value.String() == ""
		case "test.short":
			all = all && f.Value.String() == "false"
		}
	})
	return all
}

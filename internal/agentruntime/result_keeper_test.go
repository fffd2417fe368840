package agentruntime

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestResultKeeper(t *testing.T) {
	result := func(text string) string { return `{"num_turns":1,"result":"` + text + `","type":"result"}` + "\n" }
	long := strings.Repeat("x", 200)
	for name, c := range map[string]struct {
		output    string
		want      string
		truncated bool
	}{
		"the last result":             {"{}\n" + result("one") + result("two") + `{"type":"system"}` + "\n", result("two"), false},
		"no result":                   {"rubbish\n[1]\n", "", false},
		"unfinished":                  {`{"type":"result","num`, `{"type":"result","num`, false},
		"a long line of another type": {result("one") + `{"type":"user","x":"` + long + "\"}\n", result("one"), false},
		"a long line that is no JSON": {result("one") + long + "\n", result("one"), false},
		"a long result, type first":   {result("one") + `{"type":"result","result":"` + long + "\"}\n", "", true},
		"a long result, type last":    {result("one") + result(long), "", true},
		"a result after a long one":   {result(long) + result("two"), result("two"), false},
	} {
		t.Run(name, func(t *testing.T) {
			k := newResultKeeper(100)
			k.Keep([]byte(c.output))
			require.Equal(t, c.want != "" && c.want != `{"type":"result","num` || c.truncated && strings.Contains(c.output, `"one"`), k.Settled())
			kept, truncated := k.Kept()
			require.Equal(t, strings.TrimSuffix(c.want, "\n"), string(kept))
			require.Equal(t, c.truncated, truncated)
		})
	}
}

// A flood of lines that mean nothing costs the executor little.
func BenchmarkShortLines(b *testing.B) {
	flood := []byte(strings.Repeat("x\n", 32<<10))
	k := newResultKeeper(4 << 20)
	b.SetBytes(int64(len(flood)))
	for b.Loop() {
		k.Keep(flood)
	}
}

package broadcast

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPendingSetDeduplicates(t *testing.T) {
	p := NewPendingSet[string]()
	require.Empty(t, p.Ready())
	p.Add("a")
	p.Add("b")
	p.Add("a")
	<-p.Ready()
	require.Empty(t, p.Ready())
	require.ElementsMatch(t, []string{"a", "b"}, p.Drain())
	require.Empty(t, p.Drain())
	p.Add("a")
	require.Len(t, p.Ready(), 1, "a key that is added after Drain is ready again")
}

// Concurrent Add and Drain lose no key: each key is drained, or Ready receives for it.
func TestPendingSetLosesNothing(t *testing.T) {
	const writers, each = 8, 1000
	p := NewPendingSet[int]()
	var adding sync.WaitGroup
	for w := range writers {
		adding.Go(func() {
			for i := range each {
				p.Add(w*each + i)
			}
		})
	}
	for seen := map[int]bool{}; len(seen) < writers*each; {
		<-p.Ready() // or the test hangs
		for _, k := range p.Drain() {
			require.False(t, seen[k])
			seen[k] = true
		}
	}
	adding.Wait()
}

package broadcast

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPendingSetDeduplicates(t *testing.T) {
	n := NewPendingSet[string]()
	require.Empty(t, n.Ready())
	n.Add("a")
	n.Add("b")
	n.Add("a")
	<-n.Ready()
	require.Empty(t, n.Ready())
	require.ElementsMatch(t, []string{"a", "b"}, n.Drain())
	require.Empty(t, n.Drain())
	n.Add("a")
	require.Len(t, n.Ready(), 1, "what is left after a look is news again")
}

// However leaving and taking meet, no note stays unseen: there is news of it, or it has been taken.
func TestPendingSetLosesNothing(t *testing.T) {
	const writers, each = 8, 1000
	n := NewPendingSet[int]()
	var adding sync.WaitGroup
	for w := range writers {
		adding.Go(func() {
			for i := range each {
				n.Add(w*each + i)
			}
		})
	}
	for seen := map[int]bool{}; len(seen) < writers*each; {
		<-n.Ready() // or the test hangs
		for _, k := range n.Drain() {
			require.False(t, seen[k])
			seen[k] = true
		}
	}
	adding.Wait()
}

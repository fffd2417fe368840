package broadcast

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNotesAboutTheSameAreOne(t *testing.T) {
	n := NewNotes[string]()
	require.Empty(t, n.News())
	n.Leave("a")
	n.Leave("b")
	n.Leave("a")
	<-n.News()
	require.Empty(t, n.News())
	require.ElementsMatch(t, []string{"a", "b"}, n.Take())
	require.Empty(t, n.Take())
	n.Leave("a")
	require.Len(t, n.News(), 1, "what is left after a look is news again")
}

// However leaving and taking meet, no note stays unseen: there is news of it, or it has been taken.
func TestNoNoteIsMissed(t *testing.T) {
	const writers, each = 8, 1000
	n := NewNotes[int]()
	var leaving sync.WaitGroup
	for w := range writers {
		leaving.Go(func() {
			for i := range each {
				n.Leave(w*each + i)
			}
		})
	}
	for seen := map[int]bool{}; len(seen) < writers*each; {
		<-n.News() // or the test hangs
		for _, k := range n.Take() {
			require.False(t, seen[k])
			seen[k] = true
		}
	}
	leaving.Wait()
}

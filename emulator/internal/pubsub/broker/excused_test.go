package broker

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExcusedForgetsTheOldest(t *testing.T) {
	var e excused
	id := func(n int) ackID { return ackID{seq: uint64(n)} }
	require.False(t, e.has(id(0)))
	for n := range 3 * maxExcused {
		e.add([]ackID{id(n)})
		require.True(t, e.has(id(n)))
		require.True(t, e.has(id(max(0, n-maxExcused))))
		require.LessOrEqual(t, len(e.recent)+len(e.older), 2*maxExcused)
	}
	require.False(t, e.has(id(0)))
}

package broker

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProcessedAckIDsEvictsOldest(t *testing.T) {
	var e processedAckIDs
	id := func(n int) ackID { return ackID{seq: uint64(n)} }
	require.False(t, e.has(id(0)))
	for n := range 3 * maxProcessedAckIDs {
		e.add([]ackID{id(n)})
		require.True(t, e.has(id(n)))
		require.True(t, e.has(id(max(0, n-maxProcessedAckIDs))))
		require.LessOrEqual(t, len(e.recent)+len(e.older), 2*maxProcessedAckIDs)
	}
	require.False(t, e.has(id(0)))
}

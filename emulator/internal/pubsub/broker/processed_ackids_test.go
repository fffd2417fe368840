package broker

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProcessedAckIDsEvictsOldest(t *testing.T) {
	var p processedAckIDs
	id := func(n int) ackID { return ackID{seq: uint64(n)} }
	require.False(t, p.has(id(0)))
	for n := range 3 * maxProcessedAckIDs {
		p.add([]ackID{id(n)})
		require.True(t, p.has(id(n)))
		require.True(t, p.has(id(max(0, n-maxProcessedAckIDs))))
		require.LessOrEqual(t, len(p.recent)+len(p.older), 2*maxProcessedAckIDs)
	}
	require.False(t, p.has(id(0)))
}

package broadcast

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSignalCoalescesNotifications(t *testing.T) {
	s := NewSignal()
	require.Empty(t, s)
	s.Notify()
	s.Notify()
	<-s
	require.Empty(t, s)
	s.Notify()
	require.Len(t, s, 1)
}

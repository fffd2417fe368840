package guest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Each write is noticed, also after a pause and after what was read has been freed.
func TestWatchWrites(t *testing.T) {
	o, err := newOutput(t.TempDir(), 100, func([]byte) error { return nil })
	require.NoError(t, err)
	t.Cleanup(o.Close)
	written, stop := watchWrites(o.file)
	t.Cleanup(stop)
	require.NotNil(t, written, "the kernel has no inotify")
	limit := time.After(time.Minute)
	for n := int64(1); n <= 3; n++ {
		_, err := o.file.WriteString("x")
		require.NoError(t, err)
		for o.total < n {
			select {
			case <-written:
			case <-limit:
				t.Fatal("a write was not noticed")
			}
			require.NoError(t, o.follow())
		}
	}
}

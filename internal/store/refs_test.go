package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// A scan returns each document once, page by page, and then begins again. What changes behind it does no harm.
func TestScanReadsAllPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const total, limit = 5, 2
	var refs []execution.Ref
	for range total {
		refs = append(refs, f.submitRun(t, ada))
	}
	f.clock.Advance(time.Hour)
	now, err := f.Now(t.Context())
	require.NoError(t, err)
	scan := new(Scan)
	for range 2 {
		var found []execution.Ref
		for {
			page, err := f.DueExecutions(t.Context(), now, scan, limit)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page), limit)
			found = append(found, page...)
			if scan.AtFront() {
				break
			}
		}
		require.Equal(t, refs, found)
	}
	page, err := f.DueExecutions(t.Context(), now, scan, limit)
	require.NoError(t, err)
	require.Equal(t, refs[:limit], page)
	f.mustApply(t, refs[1], execution.CancelRequested{}) // the last document of the page is not due any more
	page, err = f.DueExecutions(t.Context(), now, scan, limit)
	require.NoError(t, err)
	require.Equal(t, refs[2:4], page)
}

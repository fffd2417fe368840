package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// answers is a stream whose answers break off after so many numbers each; a
// negative number of them is a refusal.
type fakeStream struct {
	itemsPerRead []int
	err          error
	next         int
}

func (a *fakeStream) read(pass func(int) bool) (ended bool, err error) {
	if len(a.itemsPerRead) == 0 {
		return true, nil
	}
	n := a.itemsPerRead[0]
	a.itemsPerRead = a.itemsPerRead[1:]
	if n < 0 {
		return false, a.err
	}
	for range n {
		a.next++
		if !pass(a.next) {
			return false, nil
		}
	}
	return false, errStreamInterrupted
}

// follow reads until the end, an error, or the number stop.
func collect(ctx context.Context, a *fakeStream, stop int) (got []int, failed error) {
	streamWithResume(ctx, func(n int, err error) bool {
		if err != nil {
			failed = err
			return false
		}
		got = append(got, n)
		return n != stop
	}, a.read)
	return got, failed
}

func TestStreamResumesWhileItMakesProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		got, err := collect(t.Context(), &fakeStream{itemsPerRead: []int{2, 1, 0, 0, 1, 1, 0, 1}}, 0)
		require.NoError(t, err)
		require.Equal(t, []int{1, 2, 3, 4, 5, 6}, got)
		require.Equal(t, (2+2+4+8+2+2+4+2)*time.Second, time.Since(began))
	})
}

func TestStreamStopsAfterMaxTriesWithoutProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &fakeStream{itemsPerRead: []int{0, 0, 0, 0, 1}}
		got, err := collect(t.Context(), a, 0)
		require.ErrorIs(t, err, errStreamInterrupted)
		require.Empty(t, got)
		require.Len(t, a.itemsPerRead, 1, "it was tried as often as a request is")
	})
}

func TestPermanentErrorEndsStream(t *testing.T) {
	refused := errors.New("refused")
	got, err := collect(t.Context(), &fakeStream{itemsPerRead: []int{-1, 1}, err: refused}, 0)
	require.ErrorIs(t, err, refused)
	require.Empty(t, got)
}

func TestStreamEndsWhenReaderStops(t *testing.T) {
	got, err := collect(t.Context(), &fakeStream{itemsPerRead: []int{3, 3}}, 2)
	require.NoError(t, err)
	require.Equal(t, []int{1, 2}, got)
}

func TestStreamEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(enough) })
		got, err := collect(ctx, &fakeStream{itemsPerRead: []int{1, 1}}, 0)
		require.ErrorIs(t, err, enough)
		require.Equal(t, []int{1}, got)
	})
}

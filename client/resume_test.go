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
type answers struct {
	breaks  []int
	refused error
	next    int
}

func (a *answers) read(pass func(int) bool) (ended bool, err error) {
	if len(a.breaks) == 0 {
		return true, nil
	}
	brings := a.breaks[0]
	a.breaks = a.breaks[1:]
	if brings < 0 {
		return false, a.refused
	}
	for range brings {
		a.next++
		if !pass(a.next) {
			return false, nil
		}
	}
	return false, errBroken
}

// follow reads until the end, an error, or the number stop.
func follow(ctx context.Context, a *answers, stop int) (got []int, failed error) {
	resume(ctx, func(n int, err error) bool {
		if err != nil {
			failed = err
			return false
		}
		got = append(got, n)
		return n != stop
	}, a.read)
	return got, failed
}

func TestAStreamGoesOnAsLongAsItBringsSomething(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		got, err := follow(t.Context(), &answers{breaks: []int{2, 1, 0, 0, 1, 1, 0, 1}}, 0)
		require.NoError(t, err)
		require.Equal(t, []int{1, 2, 3, 4, 5, 6}, got)
		require.Equal(t, (2+2+4+8+2+2+4+2)*time.Second, time.Since(began))
	})
}

func TestAStreamThatBringsNothingIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{breaks: []int{0, 0, 0, 0, 1}}
		got, err := follow(t.Context(), a, 0)
		require.ErrorIs(t, err, errBroken)
		require.Empty(t, got)
		require.Len(t, a.breaks, 1, "it was tried as often as a request is")
	})
}

func TestARefusalEndsAStream(t *testing.T) {
	refused := errors.New("refused")
	got, err := follow(t.Context(), &answers{breaks: []int{-1, 1}, refused: refused}, 0)
	require.ErrorIs(t, err, refused)
	require.Empty(t, got)
}

func TestAStreamEndsWithItsReader(t *testing.T) {
	got, err := follow(t.Context(), &answers{breaks: []int{3, 3}}, 2)
	require.NoError(t, err)
	require.Equal(t, []int{1, 2}, got)
}

func TestAStreamEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(enough) })
		got, err := follow(ctx, &answers{breaks: []int{1, 1}}, 0)
		require.ErrorIs(t, err, enough)
		require.Equal(t, []int{1}, got)
	})
}

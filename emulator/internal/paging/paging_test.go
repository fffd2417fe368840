package paging_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/emulator/internal/paging"
)

func identity(s string) string { return s }

func TestPageWhileItemsAreRemoved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 30).Draw(t, "items")
		size := rapid.IntRange(1, 7).Draw(t, "page size")
		removed := rapid.IntRange(0, 30).Draw(t, "removed after the first page")
		var items, got []string
		for i := range n {
			items = append(items, fmt.Sprintf("item-%02d", i))
		}
		token := ""
		for first := true; first || token != ""; first = false {
			page, next, err := paging.Page(items, identity, size, token)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page), size)
			got = append(got, page...)
			if first && removed < len(items) {
				items = append(items[:removed:removed], items[removed+1:]...)
			}
			token = next
		}
		require.IsIncreasing(t, append([]string{""}, got...))
		require.Subset(t, append([]string{""}, got...), append([]string{""}, items...))
	})
}

func TestPageRefusesMalformedToken(t *testing.T) {
	_, _, err := paging.Page([]string{"a"}, identity, 1, "not base64!")
	require.Equal(t, codes.InvalidArgument, status.Code(err))
}

func TestSize(t *testing.T) {
	for requested, want := range map[int32]int{0: 10, 1: 1, 10: 10, 11: 10} {
		got, err := paging.Size(requested, 10)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := paging.Size(-1, 10)
	require.Equal(t, codes.InvalidArgument, status.Code(err))
}

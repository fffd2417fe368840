package pubsub

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"
)

// Items that come and go between the pages must not hide or repeat others.
func TestPaginateWhileItemsAreRemoved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 30).Draw(t, "items")
		size := rapid.Int32Range(1, 7).Draw(t, "page size")
		removed := rapid.IntRange(0, 30).Draw(t, "removed after the first page")
		var items, got []string
		for i := range n {
			items = append(items, fmt.Sprintf("item-%02d", i))
		}
		token := ""
		for first := true; first || token != ""; first = false {
			page, next, err := paginate(items, identity, size, token)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page), int(size))
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

func TestPaginateInvalidRequest(t *testing.T) {
	_, _, err := paginate([]string{"a"}, identity, -1, "")
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	_, _, err = paginate([]string{"a"}, identity, 1, "not base64!")
	require.Equal(t, codes.InvalidArgument, status.Code(err))
}

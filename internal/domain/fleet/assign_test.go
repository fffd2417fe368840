package fleet_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/fleet"
)

func processes(from, to int) (names []string) {
	for i := from; i < to; i++ {
		names = append(names, fmt.Sprintf("p%02d", i))
	}
	return names
}

func countOwned(owners []string) map[string]int {
	counts := map[string]int{}
	for _, p := range owners {
		counts[p]++
	}
	return counts
}

// fewestMoves is the least number of partitions that change their owner: a process keeps as many as its share allows,
// and as many processes as there are larger shares may keep one more.
func fewestMoves(previous, living []string) int {
	held := countOwned(previous)
	share, more := fleet.Partitions/len(living), fleet.Partitions%len(living)
	kept := 0
	for _, p := range living {
		kept += min(held[p], share)
		if held[p] > share && more > 0 {
			more--
			kept++
		}
	}
	return fleet.Partitions - kept
}

// Whatever processes come and go, every partition has a living owner, shares differ by at most one, and no more
// partitions move than must.
func TestAssignIsFairAndMovesFewest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := processes(0, 40)
		var owners []string
		for range rapid.IntRange(1, 6).Draw(t, "changes") {
			living := rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, 40, rapid.ID).Draw(t, "living")
			next := fleet.Assign(owners, living)
			require.Len(t, next, fleet.Partitions)
			counts := countOwned(next)
			for p := range counts {
				require.Contains(t, living, p)
			}
			share := fleet.Partitions / len(living)
			for _, p := range living {
				require.GreaterOrEqual(t, counts[p], share)
				require.LessOrEqual(t, counts[p], share+1)
			}
			moves := 0
			for i := range next {
				if owners == nil || owners[i] != next[i] {
					moves++
				}
			}
			require.Equal(t, fewestMoves(owners, living), moves)
			require.Equal(t, next, fleet.Assign(next, living), "nothing moves without a reason")
			slices.Reverse(living)
			require.Equal(t, next, fleet.Assign(owners, living), "the order of the processes does not matter")
			owners = next
		}
	})
}

func TestAssignWithoutProcess(t *testing.T) {
	t.Parallel()
	require.Nil(t, fleet.Assign(fleet.Assign(nil, processes(0, 2)), nil))
}

func TestMovedPartitions(t *testing.T) {
	t.Parallel()
	one := fleet.Assign(nil, []string{"a"})
	two := fleet.Assign(one, []string{"a", "b"})
	require.Equal(t, []string{"a"}, fleet.MovedPartitions(nil, one))
	require.Equal(t, []string{"a", "b"}, fleet.MovedPartitions(one, two))
	require.Empty(t, fleet.MovedPartitions(two, two))
	require.Equal(t, []string{"a", "b"}, fleet.MovedPartitions(two, nil))
}

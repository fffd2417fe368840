package fleet

import (
	"cmp"
	"slices"
)

// Assign returns the owner of each partition. Every process gets as many as every other, or one more; with more
// processes than partitions, some get none. Of all such assignments it returns one that moves the fewest partitions
// away from their previous owners. It returns nil if there is no process.
func Assign(previous, processes []string) []string {
	if len(processes) == 0 {
		return nil
	}
	held := make(map[string][]int, len(processes))
	for _, p := range processes {
		held[p] = nil
	}
	var free []int
	for i := range Partitions {
		if i < len(previous) {
			if _, alive := held[previous[i]]; alive {
				held[previous[i]] = append(held[previous[i]], i)
				continue
			}
		}
		free = append(free, i)
	}

	// Those that hold most keep the one more.
	byHeld := slices.Compact(slices.Sorted(slices.Values(processes)))
	slices.SortStableFunc(byHeld, func(a, b string) int { return cmp.Compare(len(held[b]), len(held[a])) })
	share, more := Partitions/len(byHeld), Partitions%len(byHeld)
	shareOf := func(rank int) int {
		if rank < more {
			return share + 1
		}
		return share
	}
	for rank, p := range byHeld {
		if n := shareOf(rank); len(held[p]) > n {
			free = append(free, held[p][n:]...)
			held[p] = held[p][:n]
		}
	}
	owners := make([]string, Partitions)
	for rank, p := range byHeld {
		missing := shareOf(rank) - len(held[p])
		for _, i := range append(held[p], free[:missing]...) {
			owners[i] = p
		}
		free = free[missing:]
	}
	return owners
}

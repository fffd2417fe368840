// Package backoff spreads the waits between two attempts, so that what failed together is not repeated together.
//
// In: the bounds of a wait, and a seed. Out: a wait between the bounds. The same input gives the same output, because
// Firestore may run the transaction that stores the wait more than once. The package never waits.
package backoff

import (
	"hash/fnv"
	"time"
)

// Jitter returns a duration above low and up to high, in steps of a millisecond below high. The seed determines which.
// low must be below high.
func Jitter(low, high time.Duration, seed string) time.Duration {
	h := fnv.New64a()
	h.Write([]byte(seed))
	return high - time.Duration(h.Sum64()%uint64(high-low)).Truncate(time.Millisecond)
}

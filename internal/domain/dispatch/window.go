// Package dispatch is the policy of the dispatcher: which of the waiting executions of a tenant are published, and how
// many of them at a time.
//
// In: what the dispatcher has read and heard about a tenant, and the slots of all executors. Out: the executions to
// publish next. The package never reads a clock, a database or a queue. What is new in this policy, such as a priority,
// belongs here; how it is stored does not.
package dispatch

import (
	"math"
	"time"
)

// MinWindow is the smallest window, so that a tenant always has an execution that waits for the slot of its other one.
const MinWindow = 2

const (
	// aheadTime is for how long a lane is published ahead of the slots that it uses: until the news of an end has
	// reached the dispatcher and the next notification has reached an executor. It takes less in a cloud region.
	aheadTime = 250 * time.Millisecond
	// minAhead is how many executions wait in the queue at least when all slots are in use.
	minAhead = 2
)

// Capacity is what the window of a tenant depends on. It is about one lane of the executors that offer some runtimes.
type Capacity struct {
	Slots         int     // of these executors
	Weight        float64 // of the tenant
	WaitingWeight float64 // of all tenants that wait for these executors, including this one
	EndsPerSecond float64 // of this tenant's executions
}

// Window returns how many executions of the tenant may be published or running: its part of the slots by weight, and
// what it needs ahead so that no slot waits for the dispatcher. So another tenant never waits behind more of its
// executions than that, however many wait.
func Window(c Capacity) int {
	part := 1.0
	if c.WaitingWeight > c.Weight && c.Weight > 0 {
		part = c.Weight / c.WaitingWeight
	}
	slots := math.Ceil(part * float64(c.Slots+minAhead))
	ahead := c.EndsPerSecond * aheadTime.Seconds()
	return max(MinWindow, int(slots+ahead))
}

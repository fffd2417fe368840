package simulator

import (
	"maps"
	"slices"
	"strings"
)

// Kind is what is counted.
type Kind string

// The kinds. What a count is split by is in brackets.
const (
	Calls         Kind = "calls"         // [method]
	FailedCalls   Kind = "failedCalls"   // [method and gRPC code]; polls that end without a message are left out
	Reads         Kind = "reads"         // document reads as Firestore bills them [collection]
	ListenerReads Kind = "listenerReads" // those of Reads that a listener delivered [collection]
	Writes        Kind = "writes"        // document writes that were committed [collection]
	Deletes       Kind = "deletes"       // [collection]
	Published     Kind = "published"     // messages [topic]
	Deliveries    Kind = "deliveries"    // messages [topic of the subscription]
	Acks          Kind = "acks"          // messages [topic of the subscription]
	MessageBytes  Kind = "messageBytes"  // bytes that Pub/Sub bills: at least 1,000 for each request [publish, deliver]
)

// Counts are numbers by kind and by what the kind is split by.
type Counts map[Kind]map[string]int64

func (c Counts) add(kind Kind, name string, n int64) {
	if n == 0 {
		return
	}
	if c[kind] == nil {
		c[kind] = map[string]int64{}
	}
	c[kind][name] += n
}

func (c Counts) clone() Counts {
	copied := Counts{}
	for kind, names := range c {
		copied[kind] = maps.Clone(names)
	}
	return copied
}

// Since returns what was counted after the earlier counts.
func (c Counts) Since(earlier Counts) Counts {
	difference := Counts{}
	for kind, names := range c {
		for name, n := range names {
			difference.add(kind, name, n-earlier[kind][name])
		}
	}
	return difference
}

// Sum returns the total of a kind.
func (c Counts) Sum(kind Kind) (sum int64) {
	for _, n := range c[kind] {
		sum += n
	}
	return sum
}

// SumWithout returns the total of a kind without some of its names.
func (c Counts) SumWithout(kind Kind, names ...string) (sum int64) {
	for name, n := range c[kind] {
		if !slices.Contains(names, name) {
			sum += n
		}
	}
	return sum
}

// Signals returns how often a message reached a process that was not a notification for an executor: a message of a
// topic that is not a lane's, or a document that a listener delivered.
func (c Counts) Signals() int64 {
	signals := c.Sum(ListenerReads)
	for topic, n := range c[Deliveries] {
		if !isLane(topic) {
			signals += n
		}
	}
	return signals
}

// isLane reports whether a topic carries notifications or dead letters.
func isLane(topic string) bool {
	return slices.Contains([]string{"executions-interactive", "executions-batch", "executions-dead-letter"}, topic)
}

// bundled are the collections whose writes stand for many executions at once.
var bundled = []string{"usage", "labelUsage", "usageWriters", "budgetWarnings"}

// collectionOf returns the collection of a document, by its full name.
func collectionOf(document string) string {
	parts := strings.Split(document, "/")
	if len(parts) < 2 {
		return document
	}
	return parts[len(parts)-2]
}

// lastPart returns what follows the last slash.
func lastPart(name string) string { return name[strings.LastIndex(name, "/")+1:] }

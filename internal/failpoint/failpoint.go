// Package crash names the places in the programs where a crash would leave
// something half done, so that tests can have one there. Programs built without
// the tag failpoints, which is all that are shipped, hold nothing of it.
package failpoint

// Point is a place between two steps.
type Point string

// The places there are.
const (
	Accepted        Point = "accepted"  // the API has stored work, and not announced it
	Pulled          Point = "pulled"    // an executor has an announcement, and has not looked at the execution
	Claimed         Point = "claimed"   // it holds the lease, and has not acknowledged the announcement
	JobFinished     Point = "performed" // the job has ended, and nothing is written of it
	ResultWritten   Point = "settled"   // the end is written, and nobody was told
	Published       Point = "told"      // all is done
	Swept           Point = "swept"     // a janitor has put an execution right, and not announced it
	BatchDispatched Point = "fed"       // a feeder has made executions, and not announced them
)

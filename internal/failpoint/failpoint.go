// Package failpoint names the places in the programs where a crash would leave work half done, so that tests can kill
// or stop a process there. Only programs that are built with the tag failpoints do anything at these places; the
// shipped programs are built without it.
package failpoint

// Point is a place between two steps.
type Point string

// The places.
const (
	Accepted        Point = "accepted"         // the API has stored an execution and has not published it
	Pulled          Point = "pulled"           // an executor has a notification and has not read the execution
	Claimed         Point = "claimed"          // an executor has the lease and has not acknowledged the notification
	JobFinished     Point = "job_finished"     // the job has ended and its result is not written
	ResultWritten   Point = "result_written"   // the result is written and not published
	Published       Point = "published"        // the result is published
	Swept           Point = "swept"            // a janitor has repaired an execution and has not published it
	BatchDispatched Point = "batch_dispatched" // a batch dispatcher has created executions and has not published them
)

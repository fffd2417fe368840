package execution

import "time"

// MinTranscriptRetention is the shortest time from the end of an execution to that of its transcript. Within it, those
// who follow the transcript get its end, and an executor that has lost its lease stops writing.
const MinTranscriptRetention = time.Minute

// MaxTranscriptRetention is the longest that a setting may be, ten years.
const MaxTranscriptRetention = 10 * 365 * 24 * time.Hour

// transcriptExpiry returns when the transcript of an execution that ends now expires: after the shorter of what the
// agent asks for and what its tenant allows. nil: it has none, or it is stored as long as the execution.
func (e *Execution) transcriptExpiry(now time.Time) *time.Time {
	retention := e.TranscriptBound
	if own := e.TranscriptRetention; own != nil && (retention == nil || *own < *retention) {
		retention = own
	}
	if e.Attempt == 0 || retention == nil {
		return nil
	}
	expires := now.Add(max(*retention, MinTranscriptRetention))
	return &expires
}

// TranscriptEnded returns when the transcript of a finished execution was deleted, or when it expired if it was not
// deleted yet. ok is false while it can be read.
func (e *Execution) TranscriptEnded(now time.Time) (at time.Time, ok bool) {
	switch {
	case e.TranscriptDeletedAt != nil:
		return *e.TranscriptDeletedAt, true
	case e.TranscriptExpiresAt != nil && !now.Before(*e.TranscriptExpiresAt):
		return *e.TranscriptExpiresAt, true
	default:
		return time.Time{}, false
	}
}

package history

import (
	"slices"
	"sync"
	"time"
)

// Recorder writes a History down. It is safe for concurrent use; the zero
// Recorder is empty and ready.
type Recorder struct {
	mu      sync.Mutex
	history History
	latest  map[string]time.Time // path to the newest version's time
}

// Promised notes a 202.
func (r *Recorder) RecordAcceptance(p Acceptance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Acceptances = append(r.history.Acceptances, p)
}

// Saw notes an end that a caller was shown.
func (r *Recorder) RecordObservation(s Observation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Observations = append(r.history.Observations, s)
}

// Away notes an outage.
func (r *Recorder) RecordOutage(s TimeRange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Outages = append(r.history.Outages, s)
}

// stored notes a version, unless it is known. What was deleted has no version
// of its own, and comes with the time at which that was seen.
func (r *Recorder) recordVersion(v Version) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if latest, ok := r.latest[v.Path]; ok && !v.At.After(latest) {
		return
	}
	if r.latest == nil {
		r.latest = map[string]time.Time{}
	}
	r.latest[v.Path] = v.At
	r.history.Versions = append(r.history.Versions, v)
}

// History is what was written down so far.
func (r *Recorder) History() History {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.history
	h.Acceptances, h.Observations = slices.Clone(h.Acceptances), slices.Clone(h.Observations)
	h.Versions, h.Outages = slices.Clone(h.Versions), slices.Clone(h.Outages)
	return h
}

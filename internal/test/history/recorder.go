package history

import (
	"slices"
	"sync"
	"time"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
)

// Recorder records a History. It is safe for concurrent use. The zero Recorder is empty and ready to use.
type Recorder struct {
	mu      sync.Mutex
	history History
	latest  map[string]time.Time // time of the newest recorded version, by path
}

// RecordAcceptance records a 202.
func (r *Recorder) RecordAcceptance(a Acceptance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Acceptances = append(r.history.Acceptances, a)
}

// RecordObservation records a final state that a caller saw.
func (r *Recorder) RecordObservation(o Observation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Observations = append(r.history.Observations, o)
}

// RecordOutage records the time of an outage.
func (r *Recorder) RecordOutage(t TimeRange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Outages = append(r.history.Outages, t)
}

// RecordFaults records the time of faults, until the last of their effects is repaired.
func (r *Recorder) RecordFaults(t TimeRange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Faults = append(r.history.Faults, t)
}

// RecordInterruption records a time in which an executor did not run.
func (r *Recorder) RecordInterruption(i Interruption) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Interruptions = append(r.history.Interruptions, i)
}

func (r *Recorder) recordDocument(d *pb.Document) {
	v, err := decode(d)
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.history.Undecodable = append(r.history.Undecodable, UndecodableDocument{Path: documentPath(d.Name), Err: err})
		return
	}
	r.recordVersion(v)
}

// recordVersion records a version once. A stream that is opened again repeats the newest version of each document. A
// deletion has no version of its own; its time is the time at which the stream reported it.
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

// History returns a copy of what was recorded so far.
func (r *Recorder) History() History {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.history
	h.Acceptances, h.Observations = slices.Clone(h.Acceptances), slices.Clone(h.Observations)
	h.Versions, h.Outages = slices.Clone(h.Versions), slices.Clone(h.Outages)
	h.Faults, h.Interruptions = slices.Clone(h.Faults), slices.Clone(h.Interruptions)
	h.Undecodable = slices.Clone(h.Undecodable)
	return h
}

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
	known   map[string]time.Time // path to the newest version's time
}

// Promised notes a 202.
func (r *Recorder) Promised(p Promise) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Promises = append(r.history.Promises, p)
}

// Saw notes an end that a caller was shown.
func (r *Recorder) Saw(s Sight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Sights = append(r.history.Sights, s)
}

// Away notes an outage.
func (r *Recorder) Away(s Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Outages = append(r.history.Outages, s)
}

// stored notes a version, unless it is known. What was deleted has no version
// of its own, and comes with the time at which that was seen.
func (r *Recorder) stored(v Version) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.known[v.Path]; ok && !v.At.After(known) {
		return
	}
	if r.known == nil {
		r.known = map[string]time.Time{}
	}
	r.known[v.Path] = v.At
	r.history.Versions = append(r.history.Versions, v)
}

// History is what was written down so far.
func (r *Recorder) History() History {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.history
	h.Promises, h.Sights = slices.Clone(h.Promises), slices.Clone(h.Sights)
	h.Versions, h.Outages = slices.Clone(h.Versions), slices.Clone(h.Outages)
	return h
}

package tenant

import (
	"cmp"
	"time"
)

// Limits are what holds for a tenant. A zero number means no limit, or no warning.
type Limits struct {
	MaxQueued   int     // queued executions, without those of batches
	MaxRunning  int     // running executions
	MaxDailyUSD float64 // cost of a day of UTC
	SoftLimit   float64 // part of MaxDailyUSD after which the tenant is warned
	Weight      float64 // of the tenant's share of the slots; 0: 1
	// TranscriptRetention is how long transcripts are stored after the end of their executions, at most; nil: as long as
	// the executions.
	TranscriptRetention *time.Duration
}

// Limits returns what holds for a tenant with these settings: they override the defaults of the installation.
func (s *Settings) Limits(defaults Limits) Limits {
	l := defaults
	if s.MaxQueued != nil {
		l.MaxQueued = *s.MaxQueued
	}
	if s.MaxRunning != nil {
		l.MaxRunning = *s.MaxRunning
	}
	if s.MaxDailyUSD != nil {
		l.MaxDailyUSD = *s.MaxDailyUSD
	}
	if s.TranscriptRetention != nil {
		l.TranscriptRetention = s.TranscriptRetention
	}
	l.SoftLimit = cmp.Or(s.SoftLimit, defaults.SoftLimit)
	l.Weight = cmp.Or(s.Weight, defaults.Weight, 1)
	return l
}

// SettingsPatch changes some settings of a tenant and leaves the others as they are. It never changes what the
// dispatcher writes.
type SettingsPatch struct {
	Paused      FieldPatch[bool]
	MaxQueued   FieldPatch[int]
	MaxRunning  FieldPatch[int]
	MaxDailyUSD FieldPatch[float64]
	SoftLimit   FieldPatch[float64]
	Weight      FieldPatch[float64]

	TranscriptRetention FieldPatch[time.Duration]
}

// FieldPatch changes a field if Set is true. A nil Value resets it to the default of the installation.
type FieldPatch[T any] struct {
	Set   bool
	Value *T
}

package execution

import (
	"strings"
	"unicode/utf8"
)

// Step is something that an attempt was seen to do. It is for people who
// watch: what counts is the result.
type Step struct {
	Number int      `firestore:"number"` // counts from 1 in each attempt, without a gap
	Kind   StepKind `firestore:"kind"`
	Text   string   `firestore:"text"` // at most MaxStep bytes
}

// StepKind says what a step shows.
type StepKind string

// The kinds of steps there are.
const (
	StepOutput   StepKind = "output"   // something that the agent said
	StepProgress StepKind = "progress" // something that it did
)

// Bounds of what is kept of an attempt's steps. They are written with every
// heartbeat, so they are few.
const (
	MaxSteps     = 32
	MaxStepBytes = 512
)

// NewStep cuts the text to what is kept, between letters.
func NewStep(number int, kind StepKind, text string) Step {
	text = strings.ToValidUTF8(strings.TrimSpace(text), "\uFFFD")
	if len(text) > MaxStepBytes {
		end := MaxStepBytes - len("…")
		for !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end] + "…"
	}
	return Step{Number: number, Kind: kind, Text: text}
}

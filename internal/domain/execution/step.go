package execution

import "strings"

// Step is something that an attempt was observed to do. It informs people who watch; only the result counts.
type Step struct {
	Number int      `firestore:"number"` // counts from 1 in each attempt, without a gap
	Kind   StepKind `firestore:"kind"`
	Text   string   `firestore:"text"` // at most MaxStepBytes
}

// StepKind says what a step shows.
type StepKind string

// The kinds of steps.
const (
	StepOutput   StepKind = "output"   // something that the agent said
	StepProgress StepKind = "progress" // something that the agent did
)

// Limits of the stored steps. Each read of an execution has them, so they are small.
const (
	MaxSteps     = 32
	MaxStepBytes = 512
)

// NewStep returns a step with the text trimmed and cut to MaxStepBytes.
func NewStep(number int, kind StepKind, text string) Step {
	text = strings.ToValidUTF8(strings.TrimSpace(text), "\uFFFD")
	if len(text) > MaxStepBytes {
		text = TruncateText(text, MaxStepBytes-len("…")) + "…"
	}
	return Step{Number: number, Kind: kind, Text: text}
}

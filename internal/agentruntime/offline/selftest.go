package offline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// selfTest is an input that tests the sandbox, such as {"offline":{"sleep":"5s"}}. Its parts run in the order of the
// fields. docs/runtimes.md describes them to operators.
type selfTest struct {
	Sleep       duration `json:"sleep,omitzero"`
	AllocateMiB int      `json:"allocateMiB,omitempty"`
	OutputMiB   int      `json:"outputMiB,omitempty"`
	Exit        int      `json:"exit,omitempty"`
}

type duration time.Duration

func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// parseSelfTest reads a prompt as a self-test. A prompt that is not exactly a self-test is an ordinary prompt.
func parseSelfTest(prompt string) (selfTest, bool) {
	var input struct {
		Offline *selfTest `json:"offline"`
	}
	dec := json.NewDecoder(strings.NewReader(prompt))
	dec.DisallowUnknownFields()
	if dec.Decode(&input) != nil || input.Offline == nil || dec.More() {
		return selfTest{}, false
	}
	return *input.Offline, true
}

const mebibyte = 1 << 20

// run executes the test and returns the exit code.
func (t selfTest) run(stdout io.Writer) int {
	time.Sleep(time.Duration(t.Sleep))
	allocated := make([][]byte, 0, max(t.AllocateMiB, 0))
	for range t.AllocateMiB {
		// A page counts against the memory limit only after a write.
		allocated = append(allocated, bytes.Repeat([]byte{1}, mebibyte))
	}
	filler := []byte(`{"type":"system","subtype":"filler","x":"` + strings.Repeat("x", mebibyte) + "\"}\n")
	for range t.OutputMiB {
		if _, err := stdout.Write(filler); err != nil {
			return exitUsage
		}
	}
	if len(allocated) < t.AllocateMiB {
		return exitUsage
	}
	return t.Exit
}

func (t selfTest) String() string {
	encoded, err := json.Marshal(t)
	if err != nil {
		return "Self-test done."
	}
	return fmt.Sprintf("Self-test done: %s.", encoded)
}
